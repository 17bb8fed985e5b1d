use super::*;

/// A file that torch saved: the state of a Linear with 16 inputs and one output, of 16-bit numbers.
const SAVED: &[u8] = include_bytes!("../../../../tests/bge_m3/published/sparse_linear.pt");

/// Returns an archive with these entries, as torch has them: without compression.
fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
    use std::io::Write;
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let stored =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, bytes) in entries {
        writer.start_file(*name, stored).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn with_program(program: &[u8]) -> Vec<u8> {
    archive(&[("x/data.pkl", program), ("x/data/0", &[0; 8])])
}

/// Returns a program that lists one tensor, `w`, with these parts.
fn listing(call: &str, storage: &str, offset: u8, shape: [u8; 2], strides: [u8; 2]) -> Vec<u8> {
    let (module, name) = call.rsplit_once('.').unwrap();
    let mut program = b"\x80\x02}X\x01\0\0\0w".to_vec();
    program.extend(format!("c{module}\n{name}\n((").as_bytes());
    program.extend(b"X\x07\0\0\0storagectorch\n");
    program.extend(storage.as_bytes());
    program.extend(b"\nX\x01\0\0\x000X\x03\0\0\0cpuK\x02tQ");
    program.extend([b'K', offset]);
    program.extend([b'K', shape[0], b'K', shape[1], 0x86]);
    program.extend([b'K', strides[0], b'K', strides[1], 0x86]);
    program.extend(b"\x89N");
    program.extend(b"tRs.");
    program
}

const REBUILD: &str = "torch._utils._rebuild_tensor_v2";

#[test]
fn what_torch_saved_is_read() {
    let tensors = read(SAVED).unwrap();
    let found: Vec<_> = tensors
        .iter()
        .map(|tensor| (tensor.name.as_str(), tensor.dtype, &tensor.shape[..]))
        .collect();
    assert_eq!(found.len(), 2);
    assert!(found.contains(&("weight", Dtype::F16, &[1, 16])));
    assert!(found.contains(&("bias", Dtype::F16, &[1])));
    let made = to_safetensors(SAVED).unwrap();
    let made = safetensors::SafeTensors::deserialize(&made).unwrap();
    assert_eq!(made.tensor("weight").unwrap().data().len(), 32);
}

#[test]
fn a_part_of_a_storage_is_a_tensor() {
    let mut stored = Vec::new();
    (0..6u16).for_each(|number| stored.extend(number.to_le_bytes()));
    let program = listing(REBUILD, "HalfStorage", 2, [2, 2], [2, 1]);
    let file = archive(&[("x/data.pkl", &program), ("x/data/0", &stored)]);
    assert_eq!(read(&file).unwrap()[0].data, stored[4..]);
}

#[test]
fn what_is_something_else_than_tensors_is_told() {
    let whole = |call, storage, offset, shape, strides| {
        with_program(&listing(call, storage, offset, shape, strides))
    };
    let strided = [1, 2];
    for (file, expected) in [
        (b"not an archive".to_vec(), "rchive"),
        (archive(&[("x/version", b"3")]), "it has no data.pkl"),
        (
            archive(&[("x/data.pkl", b"N."), ("x/byteorder", b"big")]),
            "its numbers are not in little-endian order",
        ),
        (
            with_program(b"N."),
            "it holds something else than tensors by name",
        ),
        (with_program(b"\x80\x02"), "its pickle is broken"),
        (with_program(b"}X\xff\xff\xff\xff."), "its pickle is broken"),
        (with_program(b"h\x07."), "its pickle is broken"),
        (with_program(b"}Ns."), "its pickle is broken"),
        (with_program(b"}(NNNu."), "its pickle is broken"),
        (
            with_program(b"]."),
            "has an instruction (0x5d) of others than tensors",
        ),
        (with_program(b"}NNs."), "a tensor has no name"),
        (
            whole("os.system", "HalfStorage", 0, [1, 2], [2, 1]),
            "w: it is made by os.system, which is not known",
        ),
        (
            whole(REBUILD, "ComplexStorage", 0, [1, 2], [2, 1]),
            "w: it is of torch.ComplexStorage; supported: torch.FloatStorage,",
        ),
        (
            whole(REBUILD, "HalfStorage", 0, [2, 2], strided),
            "w: its values are not row by row (strides [1, 2])",
        ),
        (
            whole(REBUILD, "HalfStorage", 1, [2, 2], [2, 1]),
            "w: it has fewer values than its shape [2, 2]",
        ),
        (
            with_program(&[b"(".as_slice(), &b")".repeat(1 << 20), b"t."].concat()),
            "it has more than 1048576 bytes",
        ),
    ] {
        let error = to_safetensors(&file).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

/// Objects that are named again and again are not copied, and none refers to itself.
#[test]
fn a_program_of_doublings_ends_at_once() {
    let doubled = b"q\x00h\x00h\x00\x86".repeat(10_000);
    let program = [b"N".as_slice(), &doubled, b"."].concat();
    let error = to_safetensors(&with_program(&program)).unwrap_err();
    assert!(error.contains("something else than tensors"), "{error}");
}

#[test]
fn no_byte_of_a_file_brings_it_down() {
    for at in 0..SAVED.len() {
        for bits in [0x01, 0x80, 0xff] {
            let mut file = SAVED.to_vec();
            file[at] ^= bits;
            let _ = to_safetensors(&file);
        }
        let _ = to_safetensors(&SAVED[..at]);
    }
}
