//! Images, by the steps of a tiny model.

use std::sync::OnceLock;

use motet_models::{ImageLimits, ImageProcessor, Modality, ModelFiles, Source};

use super::models::write_files;

/// Most pixels of an image, so that no input takes long.
const LIMITS: ImageLimits = ImageLimits { pixels: 1 << 18 };

const CONFIG: &str = r#"{ "model_type": "vit", "hidden_size": 8, "num_hidden_layers": 1,
    "num_attention_heads": 2, "intermediate_size": 12, "image_size": 16, "patch_size": 8 }"#;

/// Crops, so that images of every proportion are resized in part.
const STEPS: &str = r#"{ "image_processor_type": "CLIPImageProcessor",
    "size": { "shortest_edge": 18 }, "crop_size": { "height": 16, "width": 16 } }"#;

fn processor() -> Result<ImageProcessor, String> {
    let folder = std::env::temp_dir().join(format!("motet-fuzz-images-{}", std::process::id()));
    let written = write_files(
        &folder,
        &[
            ("config.json", CONFIG.as_bytes()),
            ("model.safetensors", b""),
            ("preprocessor_config.json", STEPS.as_bytes()),
        ],
    );
    let read = written.and_then(|()| {
        let files = ModelFiles::open_for(&Source::File(folder.clone()), Modality::Images);
        let files = files.map_err(|error| error.to_string())?;
        files.image_processor().map_err(|error| error.to_string())
    });
    let _ = std::fs::remove_dir_all(&folder);
    read
}

/// An image of a call.
pub(super) fn image(input: &[u8]) {
    static PROCESSOR: OnceLock<Result<ImageProcessor, String>> = OnceLock::new();
    match PROCESSOR.get_or_init(processor) {
        Ok(processor) => {
            if processor.check(input, LIMITS).is_ok()
                && let Ok(pixels) = processor.prepare(input)
            {
                assert_eq!([pixels.height(), pixels.width()], processor.size());
            }
        }
        Err(error) => panic!("{error}"),
    }
}
