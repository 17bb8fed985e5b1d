//! Answers of a model with every bit, in a file.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail};
use motet_config::files;
use motet_proto::Tensor;
use motet_proto::signature::{Port, Signature};
use motet_proto::types::{ElementType, TensorType};
use serde::{Deserialize, Serialize};

/// The version of the file's format.
const VERSION: u32 = 1;
/// The most bytes of a file.
const BYTES_MAX: u64 = 256 << 20;

/// Texts of several lengths, scripts and kinds.
const TEXTS: [&str; 8] = [
    "Where does the first answer come from, and how fast?",
    "a",
    "Vaccines train the immune system to recognise a pathogen. The body keeps cells that remember \
     it, so that a later infection is met at once.",
    "Der Bär läuft über die Straße, größer als je zuvor.",
    "\u{6771}\u{4eac}\u{306f}\u{65e5}\u{672c}\u{306e}\u{9996}\u{90fd}\u{3067}\u{3059}\u{3002}",
    "fn main() { println!(\"{}\", 1 + 1); } // 0x7f, 3.14e-5",
    "Caf\u{e9} \u{1f600} \u{2014} \u{a3}12.50, \u{201c}quoted\u{201d}; e-mail: a.b@example.org",
    "New York and Berlin signed the agreement on 3 May 2021; Maria Lopez of Acme Corp. spoke first.",
];

/// Images of both formats and several proportions.
const IMAGES: [&[u8]; 4] = [
    include_bytes!("images/photo.jpg"),
    include_bytes!("images/colours-8.png"),
    include_bytes!("images/grey-8.png"),
    include_bytes!("images/tall.png"),
];
/// Input of a model that takes images.
const IMAGE: &str = "image";

/// Tensors by their names.
pub(super) type NamedTensors = BTreeMap<String, Tensor>;

/// Inputs of a model and its answers to them.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Golden {
    version: u32,
    model: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    motet: String,
    machine: String,
    inputs: BTreeMap<String, RecordedTensor>,
    outputs: BTreeMap<String, RecordedTensor>,
}

/// A tensor: texts as they are, anything else as the hexadecimal digits of its bytes.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordedTensor {
    r#type: String,
    shape: Vec<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    texts: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bits: Option<String>,
}

/// The result of a comparison.
pub(super) struct Compared {
    /// A line for each output.
    pub(super) lines: Vec<String>,
    /// The largest difference of a number.
    pub(super) largest: f32,
    /// `false` if an output is missing, or has another type, shape or text.
    pub(super) is_comparable: bool,
}

/// Returns inputs for a model that takes texts or images.
///
/// # Errors
/// A model that takes something else.
pub(super) fn sample_inputs(signature: &Signature) -> anyhow::Result<NamedTensors> {
    let sample = |(number, port): (usize, &Port)| {
        let TensorType { element, dims } = &port.ty;
        let tensor = match (element, dims.len()) {
            (ElementType::String, 0) => Tensor::scalar_string(TEXTS[0]),
            (ElementType::String, 1) => {
                // Each input begins with another text.
                let texts = TEXTS.iter().cycle().skip(number).take(TEXTS.len());
                Tensor::strings(texts)
            }
            (ElementType::Bytes, 1) if port.name == IMAGE => Tensor::byte_strings(IMAGES),
            _ => bail!(
                "`verify` records models that take texts or images, and the input `{}` is {}; \
                 compare with a file of its answers by --against",
                port.name,
                port.ty
            ),
        };
        Ok((port.name.clone(), tensor))
    };
    signature.inputs.iter().enumerate().map(sample).collect()
}

/// Returns what the outputs are, line by line.
pub(super) fn described(outputs: &NamedTensors) -> String {
    let line = |(name, tensor): (&String, &Tensor)| {
        format!(
            "  {name}: {}{:?}\n",
            tensor.element().name(),
            tensor.shape()
        )
    };
    outputs.iter().map(line).collect()
}

impl Golden {
    pub(super) fn of(
        model: &str,
        source: Option<&str>,
        inputs: &NamedTensors,
        outputs: &NamedTensors,
    ) -> Self {
        let recorded = |tensors: &NamedTensors| {
            let tensors = tensors.iter();
            tensors
                .map(|(name, tensor)| (name.clone(), RecordedTensor::of(tensor)))
                .collect()
        };
        Self {
            version: VERSION,
            model: model.to_owned(),
            source: source.map(str::to_owned),
            motet: env!("CARGO_PKG_VERSION").to_owned(),
            machine: format!("{} {}", std::env::consts::ARCH, std::env::consts::OS),
            inputs: recorded(inputs),
            outputs: recorded(outputs),
        }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// One that cannot be read, or is of another form.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = files::read_text(path, BYTES_MAX);
        let text = text.with_context(|| format!("{} cannot be read", path.display()))?;
        let wrong = || format!("{} is no record of `motet verify --record`", path.display());
        let golden: Self = serde_json::from_str(&text).with_context(wrong)?;
        match golden.version {
            VERSION => Ok(golden),
            _ => bail!(wrong()),
        }
    }

    /// Writes a file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let text = format!("{}\n", serde_json::to_string_pretty(self)?);
        std::fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
    }

    /// Returns who recorded it, in a few words.
    pub(super) fn origin(&self) -> String {
        let source = self.source.as_deref().unwrap_or(&self.model);
        format!("{source}, motet {} on {}", self.motet, self.machine)
    }

    /// Returns the inputs.
    ///
    /// # Errors
    /// One that is no tensor.
    pub(super) fn inputs(&self) -> anyhow::Result<NamedTensors> {
        let tensor = |(name, recorded): (&String, &RecordedTensor)| {
            Ok((
                name.clone(),
                recorded.tensor().with_context(|| name.clone())?,
            ))
        };
        self.inputs.iter().map(tensor).collect()
    }

    /// Compares the outputs with those of another machine.
    ///
    /// # Errors
    /// A recorded output that is no tensor.
    pub(super) fn compare(&self, outputs: &NamedTensors) -> anyhow::Result<Compared> {
        let mut compared = Compared {
            lines: Vec::new(),
            largest: 0.0,
            is_comparable: true,
        };
        for (name, recorded) in &self.outputs {
            let then = recorded.tensor().with_context(|| name.clone())?;
            let line = match outputs.get(name) {
                None => {
                    compared.is_comparable = false;
                    "the model does not give it here".to_owned()
                }
                Some(now) => compared.add(now, &then)?,
            };
            compared.lines.push(format!("{name}: {line}"));
        }
        for name in outputs
            .keys()
            .filter(|name| !self.outputs.contains_key(*name))
        {
            compared.is_comparable = false;
            compared
                .lines
                .push(format!("{name}: there is none in the file"));
        }
        Ok(compared)
    }
}

impl Compared {
    /// Compares one output, and says how it differs.
    fn add(&mut self, now: &Tensor, then: &Tensor) -> anyhow::Result<String> {
        let kind = |tensor: &Tensor| format!("{}{:?}", tensor.element().name(), tensor.shape());
        if (now.element(), now.shape()) != (then.element(), then.shape()) {
            self.is_comparable = false;
            return Ok(format!("it is {} here and {} there", kind(now), kind(then)));
        }
        let kind = kind(now);
        if now == then {
            return Ok(format!("{kind}, all bits are equal"));
        }
        if now.element() != ElementType::F32 {
            self.is_comparable = false;
            return Ok(format!("{kind}, the values differ"));
        }
        let (now, then) = (now.values::<f32>()?, then.values::<f32>()?);
        let differ = now
            .iter()
            .zip(&*then)
            .filter(|(a, b)| a.to_bits() != b.to_bits());
        let (mut count, mut largest, mut pair) = (0, 0.0_f32, (0.0, 0.0));
        for (a, b) in differ {
            count += 1;
            // A difference that is not a number counts as infinite.
            let difference = match (a - b).abs() {
                difference if difference.is_nan() => f32::INFINITY,
                difference => difference,
            };
            if difference >= largest {
                (largest, pair) = (difference, (*a, *b));
            }
        }
        self.largest = self.largest.max(largest);
        Ok(format!(
            "{kind}, the largest difference is {largest:.3e} ({} here, {} there); {count} of {} \
             numbers differ",
            pair.0,
            pair.1,
            now.len()
        ))
    }
}

impl RecordedTensor {
    fn of(tensor: &Tensor) -> Self {
        let (texts, bits) = match tensor.as_strings() {
            Ok(strings) if tensor.element() == ElementType::String => {
                (Some(strings.texts().map(str::to_owned).collect()), None)
            }
            _ => {
                let digits = tensor.data().iter().map(|byte| format!("{byte:02x}"));
                (None, Some(digits.collect()))
            }
        };
        Self {
            r#type: tensor.element().name().to_owned(),
            shape: tensor.shape().to_vec(),
            texts,
            bits,
        }
    }

    fn tensor(&self) -> anyhow::Result<Tensor> {
        let element = ElementType::ALL
            .into_iter()
            .find(|element| element.name() == self.r#type);
        let element = element.with_context(|| format!("no type is named {:?}", self.r#type))?;
        if let Some(texts) = &self.texts {
            return Ok(Tensor::strings(texts).reshape(self.shape.clone())?);
        }
        let digits = self.bits.as_deref().unwrap_or_default();
        let byte = |at| {
            let digits = digits.get(at..at + 2).context("an odd number of digits")?;
            u8::from_str_radix(digits, 16).context("bits that are no digits")
        };
        let bytes = (0..digits.len()).step_by(2).map(byte);
        let bytes: Vec<u8> = bytes.collect::<anyhow::Result<_>>()?;
        Ok(Tensor::from_raw(element, self.shape.clone(), bytes.into())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outputs(values: [f32; 3], text: &str) -> NamedTensors {
        BTreeMap::from([
            (
                "score".to_owned(),
                Tensor::from_values(vec![3], values.to_vec()).unwrap(),
            ),
            ("label".to_owned(), Tensor::strings([text])),
        ])
    }

    #[test]
    fn answers_are_recorded_with_every_bit() {
        let inputs = BTreeMap::from([("text".to_owned(), Tensor::strings(TEXTS))]);
        let then = outputs([0.1, -0.0, f32::MIN_POSITIVE], "yes");
        let golden = Golden::of("m", Some("hf:a/b"), &inputs, &then);
        let text = serde_json::to_string(&golden).unwrap();
        let golden: Golden = serde_json::from_str(&text).unwrap();
        assert_eq!(golden.inputs().unwrap(), inputs);
        let check = |now: NamedTensors, largest: f32, is_comparable: bool, line: &str| {
            let compared = golden.compare(&now).unwrap();
            assert!(
                compared.lines.iter().any(|l| l.contains(line)),
                "{:?}",
                compared.lines
            );
            assert_eq!(compared.largest, largest);
            assert_eq!(compared.is_comparable, is_comparable);
        };
        check(
            then.clone(),
            0.0,
            true,
            "score: float[3], all bits are equal",
        );
        check(
            outputs([0.1, 0.0, f32::MIN_POSITIVE], "yes"),
            0.0,
            true,
            "the largest difference is 0.000e0 (0 here, -0 there); 1 of 3 numbers differ",
        );
        check(
            outputs([0.1, 0.5, 0.0], "yes"),
            0.5,
            true,
            "2 of 3 numbers differ",
        );
        check(
            outputs([f32::NAN, 0.0, 0.0], "yes"),
            f32::INFINITY,
            true,
            "inf",
        );
        check(
            outputs([0.1, -0.0, f32::MIN_POSITIVE], "no"),
            0.0,
            false,
            "label: string[1], the values differ",
        );
        let mut fewer = then.clone();
        fewer.remove("label");
        check(fewer, 0.0, false, "label: the model does not give it here");
        let mut other = then;
        other.insert(
            "score".to_owned(),
            Tensor::from_values(vec![1], vec![1.0_f32]).unwrap(),
        );
        check(
            other,
            0.0,
            false,
            "score: it is float[1] here and float[3] there",
        );
    }
}
