//! Bytes that are no image or over a limit, and models whose files do not go together.

use motet_tests::repository;
use motet_tests::temp_dir::TempDir;
use motet_tests::tensors::{output, raw};
use serde_json::{Value, json};
use tonic::Code;

use super::{images, picture, serve};
use crate::motet;

/// Returns a PNG whose header says that it has another width and height.
fn with_size(png: &[u8], [width, height]: [u32; 2]) -> Vec<u8> {
    let mut changed = png.to_vec();
    changed[16..20].copy_from_slice(&width.to_be_bytes());
    changed[20..24].copy_from_slice(&height.to_be_bytes());
    let mut checksum = flate2::Crc::new();
    checksum.update(&changed[12..29]);
    changed[29..33].copy_from_slice(&checksum.sum().to_be_bytes());
    changed
}

#[tokio::test]
async fn what_is_no_image_or_over_a_limit_is_told_by_its_place() {
    let task = "classify_images, max_pixels: 200, max_bytes: 3000";
    let models = [("vit", task, "vit"), ("usual", "embed_images", "clip")];
    let (_program, connection, _folder) = serve(&models).await;
    let small = picture("colours-8.png");
    let large = picture("photo.png");
    let cut = small[..small.len() - 40].to_vec();
    let cmyk = std::fs::read(repository().join("tests/images/cmyk.jpg")).expect("a picture");
    for (sent, code, message) in [
        (
            vec![small.clone(), b"no image".to_vec()],
            Code::InvalidArgument,
            "image[1]: is no image; supported are JPEG and PNG",
        ),
        (
            vec![b"GIF89a\x01\0\x01\0".to_vec()],
            Code::InvalidArgument,
            "image[0]: is a GIF; supported are JPEG and PNG",
        ),
        (
            vec![
                small.clone(),
                small.clone(),
                b"RIFF\x1a\0\0\0WEBPVP8L".to_vec(),
            ],
            Code::InvalidArgument,
            "image[2]: is a WebP; supported are JPEG and PNG",
        ),
        (
            vec![Vec::new()],
            Code::InvalidArgument,
            "image[0]: is empty; supported are JPEG and PNG",
        ),
        (
            vec![cmyk],
            Code::InvalidArgument,
            "image[0]: is a JPEG whose colours are CMYK; supported are RGB, YCbCr and greys",
        ),
        (
            vec![small.clone(), cut],
            Code::InvalidArgument,
            "image[1]: is a damaged PNG: ",
        ),
        (
            vec![small[..30].to_vec()],
            Code::InvalidArgument,
            "image[0]: is a damaged PNG: ",
        ),
        (
            vec![picture("tall.png"), picture("photo.jpg")],
            Code::ResourceExhausted,
            "image[1]: has 5063 pixels (83 x 61), over max_pixels 200",
        ),
        (
            vec![large],
            Code::ResourceExhausted,
            "image[0]: 5415 bytes; this model takes at most 3000",
        ),
        (
            vec![picture("one.png"); 257],
            Code::ResourceExhausted,
            "image: 257 rows; a call takes at most 256, send several calls",
        ),
    ] {
        let request = raw("vit", &[("image", images(&sent))]);
        let answer = connection.inference().model_infer(request).await;
        let status = answer.expect_err("a refusal");
        assert_eq!(status.code(), code, "{status:?}");
        assert!(status.message().starts_with(message), "{status:?}");
    }
    // Under the usual limits, what a few bytes say of themselves is looked at before it is decoded.
    let photo = picture("photo.jpg");
    for (sent, code, message) in [
        (
            photo[..photo.len() / 2].to_vec(),
            Code::InvalidArgument,
            "image[0]: is a damaged JPEG: ",
        ),
        (
            photo[..100].to_vec(),
            Code::InvalidArgument,
            "image[0]: is a damaged JPEG: ",
        ),
        (
            with_size(&small, [60_000, 60_000]),
            Code::ResourceExhausted,
            "image[0]: has 3600000000 pixels (60000 x 60000), over max_pixels 25000000",
        ),
        (
            with_size(&small, [100_000, 1]),
            Code::ResourceExhausted,
            "image[0]: is 100000 x 1; a side has at most 65535 pixels",
        ),
        (
            with_size(&small, [13, 12]),
            Code::InvalidArgument,
            "image[0]: is a damaged PNG: ",
        ),
        (
            with_size(&small, [0, 11]),
            Code::InvalidArgument,
            "image[0]: is a damaged PNG: ",
        ),
    ] {
        let request = raw("usual", &[("image", images(&[sent]))]);
        let answer = connection.inference().model_infer(request).await;
        let status = answer.expect_err("a refusal");
        assert_eq!(status.code(), code, "{status:?}");
        assert!(status.message().starts_with(message), "{status:?}");
    }
    // Whatever was refused, the others are answered.
    let request = raw("vit", &[("image", images(&[&small]))]);
    let answer = connection.inference().model_infer(request).await;
    let answer = answer.expect("an answer").into_inner();
    assert_eq!(output(&answer, "score").shape(), [1, 3]);
    let request = raw("vit", &[("image", images::<Vec<u8>>(&[]))]);
    let answer = connection.inference().model_infer(request).await;
    let answer = answer.expect("an answer to no image").into_inner();
    assert_eq!(output(&answer, "score").shape(), [0, 3]);
}

/// Checks a configuration with one model; returns what is reported.
async fn check(task: &str, source: &std::path::Path) -> String {
    let folder = TempDir::new();
    let source = source.display();
    let config = format!("models:\n  m: {{ task: {task}, source: \"file:{source}\" }}\n");
    let file = folder.file("motet.yaml", config);
    let ended = motet(["check".as_ref(), file.as_os_str()]).run().await;
    assert_ne!(ended.code, Some(0), "{task} {source}");
    ended.stderr
}

#[tokio::test]
async fn a_model_that_its_task_cannot_have_is_refused_before_anything_starts() {
    let root = repository();
    let fixture = |name: &str| root.join("tests/images").join(name);
    for (task, source, expected) in [
        (
            "classify",
            fixture("vit"),
            "`classify_images` and `embed_images`",
        ),
        (
            "embed_images",
            fixture("vit"),
            "the weights hold a head (classifier.bias), which would not be computed",
        ),
        (
            "classify_images",
            fixture("clip-vision"),
            "has no tensor classifier.weight",
        ),
        (
            "embed_images",
            root.join("tests/fixtures/bert"),
            "model_type `bert` is that of a model of texts, which `classify_images` and",
        ),
        (
            "embed",
            fixture("siglip-vision"),
            "is that of a model of images, whose tasks are `classify_images` and `embed_images`",
        ),
        (
            "classify_images, max_pixels: 0",
            fixture("vit"),
            "`max_pixels` is 0, but must be between 1 and 268435456",
        ),
        (
            "classify_images, max_tokens: 5",
            fixture("vit"),
            "max_tokens",
        ),
    ] {
        let report = check(task, &source).await;
        assert!(report.contains(expected), "{task}:\n{report}");
    }
}

/// Copies some files of a model of images.
fn copy(fixture: &str, files: &[&str]) -> TempDir {
    let fixture = repository().join("tests/images").join(fixture);
    let folder = TempDir::new();
    for file in files {
        std::fs::copy(fixture.join(file), folder.path().join(file)).expect("a copy");
    }
    folder
}

/// Reads a JSON file of a folder.
fn json_of(folder: &TempDir, file: &str) -> Value {
    let bytes = std::fs::read(folder.path().join(file)).expect("the file");
    serde_json::from_slice(&bytes).expect("JSON")
}

const FILES: [&str; 3] = [
    "config.json",
    "model.safetensors",
    "preprocessor_config.json",
];

#[tokio::test]
async fn files_that_do_not_go_together_are_refused_with_what_is_there() {
    for (key, value, expected) in [
        (
            "id2label",
            json!({"0": "cat", "1": "dog", "3": "neither"}),
            "one of them has the number `3`; numbers are 0 to 2, without gaps",
        ),
        (
            "id2label",
            json!({"0": "cat", "1": "dog"}),
            "id2label has 2 labels, but the head has 3 (classifier.weight)",
        ),
        (
            "hidden_size",
            json!(64),
            "embeddings.patch_embeddings.projection.weight",
        ),
        ("hidden_size", json!(30), "num_attention_heads"),
        (
            "num_hidden_layers",
            json!(3),
            "encoder.layer.2.attention.attention.query.weight",
        ),
        ("patch_size", json!(48), "so there is no patch"),
        ("num_channels", json!(1), "3 (red, green, blue)"),
        (
            "image_size",
            json!(32),
            "position_embeddings has shape [1, 10, 32], config.json asks for [1, 17, 32]",
        ),
        ("hidden_act", json!("mish"), "hidden_act `mish`"),
        (
            "auto_map",
            json!({"AutoModel": "own.OwnModel"}),
            "auto_map `OwnModel` is not supported; supported: none (code is not run)",
        ),
    ] {
        let folder = copy("vit", &FILES);
        let mut config = json_of(&folder, "config.json");
        config[key] = value;
        folder.file("config.json", config.to_string());
        let report = check("classify_images", folder.path()).await;
        assert!(report.contains(expected), "{key}:\n{report}");
    }

    // A name that is almost the right one is named.
    let folder = copy("vit", &FILES);
    let weights = folder.path().join("model.safetensors");
    let mut bytes = std::fs::read(&weights).expect("the weights");
    let name = b"classifier.weight";
    let at = bytes.windows(name.len()).position(|found| found == name);
    bytes[at.expect("the name")] = b'k';
    std::fs::write(&weights, bytes).expect("the weights are written");
    let report = check("classify_images", folder.path()).await;
    assert!(
        report.contains("has no tensor classifier.weight"),
        "{report}"
    );
    assert!(report.contains("klassifier.weight"), "{report}");
}

#[tokio::test]
async fn steps_that_are_not_computed_are_refused_with_the_file_and_the_key() {
    for (key, value, expected) in [
        (
            "do_pad",
            "true",
            "do_pad `true` is not supported; supported keys: ",
        ),
        (
            "resample",
            "9",
            "resample `9` is not supported; supported: 0 (nearest)",
        ),
        (
            "size",
            "{\"longest_edge\": 24}",
            "size `{\"longest_edge\":24}` is not supported; supported: a number",
        ),
        ("size", "0", "size `0` is not supported"),
        (
            "crop_size",
            "32",
            "it makes images of 32 x 32 pixels, but the model takes 24 x 24",
        ),
        ("do_center_crop", "false", "it gives images of any size"),
        (
            "image_processor_type",
            "\"BitImageProcessor\"",
            "image_processor_type `BitImageProcessor` is not supported; supported: ViT",
        ),
        ("image_std", "[1, 0, 1]", "image_std is 0"),
        ("image_mean", "[1, 2]", "did not match"),
    ] {
        let folder = copy("clip-vision", &FILES);
        let mut steps = json_of(&folder, "preprocessor_config.json");
        steps[key] = serde_json::from_str(value).expect("a value");
        folder.file("preprocessor_config.json", steps.to_string());
        let report = check("embed_images", folder.path()).await;
        assert!(report.contains("preprocessor_config.json"), "{report}");
        assert!(report.contains(expected), "{key}:\n{report}");
    }
    let folder = copy("clip-vision", &FILES[..2]);
    let report = check("embed_images", folder.path()).await;
    assert!(
        report.contains("file preprocessor_config.json is missing"),
        "{report}"
    );
}
