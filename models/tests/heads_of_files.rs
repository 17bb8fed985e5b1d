//! Heads that have files of their own beside the encoder's, as those of BGE-M3: what is said of
//! files that do not fit.

use std::path::{Path, PathBuf};

use motet_models::{ModelFiles, Source};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/bge_m3")
        .join(name)
}

#[test]
fn heads_that_do_not_fit_the_model_are_refused_with_their_file() {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("spoiled-bge-m3");
    let _ = std::fs::remove_dir_all(&dir);
    let copy = |from: &Path, to: &Path| {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap().path();
            if entry.is_file() {
                std::fs::copy(&entry, to.join(entry.file_name().unwrap())).unwrap();
            }
        }
    };
    for module in ["", "1_Pooling", "2_Normalize"] {
        let from = folder("published").join(module);
        if from.exists() {
            copy(&from, &dir.join(module));
        }
    }
    let file = dir.join("sparse_linear.pt");
    let files = || ModelFiles::open(&Source::File(dir.clone())).unwrap();
    let whole = std::fs::read(&file).unwrap();
    let said = |bytes: &[u8]| {
        std::fs::write(&file, bytes).unwrap();
        files().sparse_head().unwrap_err().to_string()
    };
    let cut = said(&whole[..whole.len() / 2]);
    assert!(
        cut.contains("sparse_linear.pt is truncated or corrupt"),
        "{cut}"
    );
    let wide = said(&std::fs::read(dir.join("colbert_linear.pt")).unwrap());
    assert!(
        wide.ends_with("sparse_linear.pt: it has 16 values for each token; supported: 1"),
        "{wide}"
    );
    // Safetensors win over a pickle; those of the other model have more inputs.
    let other = folder("safetensors").join("sparse_linear.safetensors");
    std::fs::copy(other, dir.join("sparse_linear.safetensors")).unwrap();
    let shape = files().sparse_head().unwrap_err().to_string();
    assert!(
        shape.contains("sparse_linear.safetensors/weight") && shape.contains("[1, 24]"),
        "{shape}"
    );
}
