//! The steps from an image to the values of its pixels, as preprocessor_config.json states them,
//! with the defaults of the image processors of transformers.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::resize::Filter;
use crate::error::LoadError;
use crate::family::CONFIG;
use crate::source::JsonFiles;

/// File of an image processor.
const FILE: &str = "preprocessor_config.json";
/// File of a processor of images and texts, which has that of images under a key.
const WHOLE_FILE: &str = "processor_config.json";
const KEY: &str = "image_processor";

/// Keys that say nothing of the numbers.
const WITHOUT_MEANING: [&str; 9] = [
    "_valid_processor_keys",
    "default_to_square",
    "device",
    "disable_grouping",
    "do_convert_rgb",
    "processor_class",
    "return_tensors",
    "feature_extractor_type",
    "image_processor_type",
];

/// The steps, in their order.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Steps {
    /// The file that says so.
    pub(super) file: &'static str,
    pub(super) resize: Option<(Target, Filter)>,
    /// Height and width of the middle that is kept.
    pub(super) crop: Option<[usize; 2]>,
    /// Factor of the values.
    pub(super) rescale: Option<f64>,
    /// Mean and standard deviation of each colour.
    pub(super) normalize: Option<([f32; 3], [f32; 3])>,
}

/// The size that an image gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// Height and width.
    Sides([usize; 2]),
    /// Length of the shorter side; the other keeps its proportion.
    Shortest(usize),
}

/// Values of keys that a file leaves out.
struct Defaults {
    /// Name of the class, without what says how it computes.
    class: &'static str,
    /// `model_type` of the models that it is for.
    model_types: [&'static str; 2],
    size: Target,
    /// `true` if a size of one number is that of both sides.
    is_square: bool,
    resample: usize,
    crop: Option<[usize; 2]>,
    mean: [f32; 3],
    std: [f32; 3],
}

const SIDE: usize = 224;

const CLASSES: [Defaults; 3] = [
    Defaults {
        class: "ViTImageProcessor",
        model_types: ["vit"; 2],
        size: Target::Sides([SIDE; 2]),
        is_square: true,
        resample: 2,
        crop: None,
        mean: [0.5; 3],
        std: [0.5; 3],
    },
    Defaults {
        class: "CLIPImageProcessor",
        model_types: ["clip", "clip_vision_model"],
        size: Target::Shortest(SIDE),
        is_square: false,
        resample: 3,
        crop: Some([SIDE; 2]),
        mean: [0.481_454_66, 0.457_827_5, 0.408_210_73],
        std: [0.268_629_55, 0.261_302_6, 0.275_777_1],
    },
    Defaults {
        class: "SiglipImageProcessor",
        model_types: ["siglip", "siglip_vision_model"],
        size: Target::Sides([SIDE; 2]),
        is_square: false,
        resample: 3,
        crop: None,
        mean: [0.5; 3],
        std: [0.5; 3],
    },
];

/// The keys that are read.
#[derive(Deserialize)]
struct Keys {
    image_processor_type: Option<String>,
    feature_extractor_type: Option<String>,
    do_resize: Option<bool>,
    size: Option<Value>,
    resample: Option<usize>,
    do_center_crop: Option<bool>,
    crop_size: Option<Value>,
    do_rescale: Option<bool>,
    rescale_factor: Option<f64>,
    do_normalize: Option<bool>,
    image_mean: Option<Colours>,
    image_std: Option<Colours>,
}

/// A number for each colour, or one for all.
#[derive(Clone, Copy, Deserialize)]
#[serde(untagged)]
enum Colours {
    Each([f32; 3]),
    All(f32),
}

impl Colours {
    fn each(self) -> [f32; 3] {
        match self {
            Self::Each(each) => each,
            Self::All(all) => [all; 3],
        }
    }
}

/// A size in one of the forms that are read.
#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Size {
    One(usize),
    Sides { height: usize, width: usize },
    Shortest { shortest_edge: usize },
}

impl Steps {
    /// Reads the steps of a model.
    ///
    /// # Errors
    /// No file of them, and a class, key or value that is not supported.
    pub(super) fn read(json: &JsonFiles<'_>) -> Result<Self, LoadError> {
        let (file, map) = file(json)?;
        let keys: Keys = parse(json, file, Value::Object(map.clone()))?;
        let refuse = |reason: String| Err(json.unsupported(file, reason));
        let known = motet_config::structs::fields::<Keys>();
        for (key, value) in &map {
            let says_nothing = matches!(value, Value::Null | Value::Bool(false));
            let is_known = known.contains(&&**key) || WITHOUT_MEANING.contains(&&**key);
            let is_usual = key == "data_format" && value == "channels_first";
            if !is_known && !says_nothing && !is_usual {
                return refuse(format!(
                    "{key} `{value}` is not supported; supported keys: {}",
                    known.join(", ")
                ));
            }
        }
        let named = keys.image_processor_type.or(keys.feature_extractor_type);
        let defaults = class(json, file, named)?;
        let resize = match keys.do_resize {
            Some(false) => None,
            _ => {
                let target = match size(json, file, "size", keys.size)? {
                    None => defaults.size,
                    Some(Size::One(side)) if defaults.is_square => Target::Sides([side; 2]),
                    Some(Size::One(side)) => Target::Shortest(side),
                    Some(Size::Sides { height, width }) => Target::Sides([height, width]),
                    Some(Size::Shortest { shortest_edge }) => Target::Shortest(shortest_edge),
                };
                let resample = keys.resample.unwrap_or(defaults.resample);
                let Some(filter) = Filter::ALL.get(resample) else {
                    return refuse(format!(
                        "resample `{resample}` is not supported; supported: 0 (nearest), 1 \
                         (lanczos), 2 (bilinear), 3 (bicubic), 4 (box), 5 (hamming)"
                    ));
                };
                Some((target, *filter))
            }
        };
        let crop = match keys.do_center_crop.unwrap_or(defaults.crop.is_some()) {
            false => None,
            true => match size(json, file, "crop_size", keys.crop_size)? {
                Some(Size::One(side)) => Some([side; 2]),
                Some(Size::Sides { height, width }) => Some([height, width]),
                Some(Size::Shortest { .. }) => {
                    return refuse("crop_size must have height and width".to_owned());
                }
                None if defaults.crop.is_none() => {
                    return refuse("do_center_crop is true, but there is no crop_size".to_owned());
                }
                None => defaults.crop,
            },
        };
        let rescale =
            (keys.do_rescale != Some(false)).then(|| keys.rescale_factor.unwrap_or(1.0 / 255.0));
        let normalize = (keys.do_normalize != Some(false)).then(|| {
            let mean = keys.image_mean.map_or(defaults.mean, Colours::each);
            (mean, keys.image_std.map_or(defaults.std, Colours::each))
        });
        if normalize.is_some_and(|(_, std)| std.contains(&0.0)) {
            return refuse("image_std is 0".to_owned());
        }
        Ok(Self {
            file,
            resize,
            crop,
            rescale,
            normalize,
        })
    }

    /// Returns the height and width of every image after the steps.
    ///
    /// # Errors
    /// Steps after which sizes differ.
    pub(super) fn size(&self, json: &JsonFiles<'_>) -> Result<[usize; 2], LoadError> {
        match (self.crop, self.resize) {
            (Some(size), _) | (None, Some((Target::Sides(size), _))) => Ok(size),
            (None, _) => {
                let reason = "it gives images of any size: neither is `size` a height and a width, \
                              nor is there a `crop_size`";
                Err(json.unsupported(self.file, reason))
            }
        }
    }
}

/// Returns the file and its keys.
fn file(json: &JsonFiles<'_>) -> Result<(&'static str, Map<String, Value>), LoadError> {
    if let Some(keys) = json.optional(FILE)? {
        return Ok((FILE, keys));
    }
    let whole: Option<Map<String, Value>> = json.optional(WHOLE_FILE)?;
    match whole.and_then(|mut whole| whole.remove(KEY)) {
        Some(Value::Object(keys)) => Ok((WHOLE_FILE, keys)),
        _ => json.required(FILE).map(|keys| (FILE, keys)),
    }
}

/// Returns the defaults of a class, or those for the model's type if none is named.
fn class(
    json: &JsonFiles<'_>,
    file: &'static str,
    named: Option<String>,
) -> Result<&'static Defaults, LoadError> {
    #[derive(Deserialize)]
    struct Config {
        model_type: String,
    }
    let Some(named) = named else {
        let Config { model_type } = json.required(CONFIG)?;
        let is_of = |class: &&Defaults| class.model_types.contains(&&*model_type);
        return CLASSES
            .iter()
            .find(is_of)
            .ok_or_else(|| json.unsupported(file, "it names no image_processor_type"));
    };
    // The same numbers, computed by other means; the name of older files.
    let name = named.replace("FeatureExtractor", "ImageProcessor");
    let name = name.trim_end_matches("Fast").trim_end_matches("Pil");
    let found = CLASSES.iter().find(|class| class.class == name);
    found.ok_or_else(|| {
        let known = CLASSES.map(|class| class.class).join(", ");
        let reason = format!("image_processor_type `{named}` is not supported; supported: {known}");
        json.unsupported(file, reason)
    })
}

fn size(
    json: &JsonFiles<'_>,
    file: &'static str,
    key: &str,
    value: Option<Value>,
) -> Result<Option<Size>, LoadError> {
    let Some(mut value) = value else {
        return Ok(None);
    };
    if let Value::Object(sides) = &mut value {
        sides.retain(|_, side| !side.is_null());
    }
    let refused = |value: &Value| {
        let reason = format!(
            "{key} `{value}` is not supported; supported: a number, height and width, or \
             shortest_edge, each from 1 to {SIDE_MAX}"
        );
        json.unsupported(file, reason)
    };
    let size: Size = serde_json::from_value(value.clone()).map_err(|_| refused(&value))?;
    let sides = match size {
        Size::One(side)
        | Size::Shortest {
            shortest_edge: side,
        } => [side; 2],
        Size::Sides { height, width } => [height, width],
    };
    match sides.iter().all(|side| (1..=SIDE_MAX).contains(side)) {
        true => Ok(Some(size)),
        false => Err(refused(&value)),
    }
}

/// Longest side of an image that a step makes.
const SIDE_MAX: usize = 8192;

fn parse<T: DeserializeOwned>(
    json: &JsonFiles<'_>,
    file: &str,
    value: Value,
) -> Result<T, LoadError> {
    serde_json::from_value(value).map_err(|cause| json.unsupported(file, cause.to_string()))
}
