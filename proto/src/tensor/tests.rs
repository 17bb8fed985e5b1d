use std::borrow::Cow;

use super::*;

fn raw(element: ElementType, shape: &[usize], data: &[u8]) -> Result<Tensor, TensorError> {
    Tensor::from_raw(element, shape.to_vec(), Bytes::copy_from_slice(data))
}

#[test]
fn a_buffer_that_does_not_fit_is_refused() {
    for (element, shape, data, error) in [
        (
            ElementType::F32,
            &[2][..],
            &[0; 7][..],
            "7 bytes do not make float[2]: expected 8",
        ),
        (
            ElementType::Bool,
            &[2],
            &[1, 2],
            "element 1 is 2, which is not a bool",
        ),
        (
            ElementType::Bytes,
            &[1],
            &[5, 0, 0, 0, 1],
            "the BYTES buffer ends inside element 0 of 1",
        ),
        (
            ElementType::Bytes,
            &[2],
            &[0, 0, 0, 0, 1],
            "the BYTES buffer ends inside element 1 of 2",
        ),
        (
            ElementType::Bytes,
            &[0],
            &[1],
            "the BYTES buffer has 1 bytes after its 0 elements",
        ),
        (
            ElementType::String,
            &[1],
            &[1, 0, 0, 0, 0xff],
            "element 0 is not valid UTF-8",
        ),
        (
            ElementType::F32,
            &[usize::MAX, 2],
            &[],
            "the shape has too many elements",
        ),
        (
            ElementType::F32,
            &[1; 9],
            &[],
            "9 dimensions are more than the limit of 8",
        ),
    ] {
        assert_eq!(raw(element, shape, data).unwrap_err().to_string(), error);
    }
}

#[test]
fn numbers_are_borrowed_where_aligned_and_copied_elsewhere() {
    let buffer = Bytes::from_owner([1.5f32.to_le_bytes(), 2.5f32.to_le_bytes()].concat());
    let t = Tensor::from_raw(ElementType::F32, vec![2], buffer.clone()).unwrap();
    assert_eq!(*t.values::<f32>().unwrap(), [1.5, 2.5]);
    assert_eq!(t.data().as_ptr(), buffer.as_ptr());

    let mut shifted = vec![0u8; 1];
    shifted.extend_from_slice(&buffer);
    for offset in 0..4 {
        let mut padded = vec![0u8; offset];
        padded.extend_from_slice(&buffer);
        let slice = Bytes::from(padded).slice(offset..);
        let t = Tensor::from_raw(ElementType::F32, vec![2], slice).unwrap();
        assert_eq!(*t.values::<f32>().unwrap(), [1.5, 2.5]);
    }
    assert!(t.values::<i32>().is_err());
}

#[test]
fn a_vector_is_taken_over_without_a_copy() {
    let values = vec![1i64, -2, 3];
    let at = values.as_ptr().cast::<u8>();
    let t = Tensor::from_values(vec![3], values).unwrap();
    assert_eq!(t.data().as_ptr(), at);
    assert!(matches!(
        t.values::<i64>().unwrap(),
        Cow::Borrowed([1, -2, 3])
    ));
}

#[test]
fn strings_round_trip() {
    let texts = ["", "plain", "naïve ☃", "日本語", "\0"];
    let t = Tensor::strings(texts);
    assert_eq!(t.shape(), [5]);
    assert_eq!(t.as_strings().unwrap().texts().collect::<Vec<_>>(), texts);
    let again = Tensor::from_raw(ElementType::String, vec![5], t.data().clone()).unwrap();
    assert_eq!(again, t);
    assert_eq!(Tensor::scalar_string("x").as_text().unwrap(), "x");
    assert!(t.as_text().is_err());
    assert!(t.values::<u8>().is_err());
}

#[test]
fn bytes_become_strings_only_if_they_are_utf8() {
    let good = Tensor::byte_strings([b"ok"]);
    assert_eq!(
        good.into_text(ElementType::String).unwrap().element(),
        ElementType::String
    );
    let bad = Tensor::byte_strings([&b"ok"[..], &[0xff]]);
    assert_eq!(
        bad.into_text(ElementType::String),
        Err(TensorError::Utf8 { at: 1 })
    );
}

#[test]
fn rows_are_gathered() {
    let m = Tensor::from_values(vec![3, 2], vec![1i32, 2, 3, 4, 5, 6]).unwrap();
    let g = m.gather(&[2, 0, 2]).unwrap();
    assert_eq!(g.shape(), [3, 2]);
    assert_eq!(*g.values::<i32>().unwrap(), [5, 6, 1, 2, 5, 6]);
    let s = Tensor::strings(["a", "bb", "ccc"]).gather(&[1, 1]).unwrap();
    assert_eq!(s, Tensor::strings(["bb", "bb"]));
    assert_eq!(
        m.gather(&[3]).unwrap_err(),
        TensorError::Index { index: 3, rows: 3 }
    );
    assert_eq!(m.gather(&[]).unwrap().shape(), [0, 2]);
    assert_eq!(Tensor::scalar(1i32).gather(&[0]), Err(TensorError::NotList));
}

#[test]
fn lists_are_joined() {
    let a = Tensor::strings(["a"]);
    let b = Tensor::strings(["b", "c"]);
    assert_eq!(
        Tensor::concat(&[&a, &b]).unwrap(),
        Tensor::strings(["a", "b", "c"])
    );
    let m = Tensor::from_values(vec![1, 2], vec![1f32, 2.0]).unwrap();
    assert_eq!(Tensor::concat(&[&m, &m]).unwrap().shape(), [2, 2]);
    assert!(Tensor::concat(&[&a, &m]).is_err());
    assert!(Tensor::concat(&[&m, &Tensor::from_values(vec![1], vec![1f32]).unwrap()]).is_err());
    assert!(Tensor::concat(&[]).is_err());
}

#[test]
fn empty_tensors_have_the_type_asked_for() {
    let t = Tensor::empty(&"float[N,384]".parse().unwrap());
    assert_eq!(t.shape(), [0, 384]);
    assert!(t.is_empty());
    assert_eq!(t.reshape(vec![384, 0]).unwrap().shape(), [384, 0]);
}

#[test]
fn rows_are_split_and_stacked_again() {
    let text = |s: &str| Tensor::scalar_string(s);
    for (tensor, rows) in [
        (
            Tensor::strings(["a", "", "日本"]),
            vec![text("a"), text(""), text("日本")],
        ),
        (
            Tensor::from_values(vec![2, 2], vec![1i32, 2, 3, 4]).unwrap(),
            vec![
                Tensor::from_values(vec![2], vec![1i32, 2]).unwrap(),
                Tensor::from_values(vec![2], vec![3i32, 4]).unwrap(),
            ],
        ),
        (Tensor::strings::<&str>([]), vec![]),
    ] {
        assert_eq!(tensor.to_rows().unwrap(), rows);
        if !rows.is_empty() {
            assert_eq!(Tensor::stack(rows).unwrap(), tensor);
        }
    }
    assert_eq!(text("a").to_rows(), Err(TensorError::NotList));
    assert!(Tensor::stack(vec![text("a"), Tensor::scalar(1i32)]).is_err());
}

#[test]
fn zeros_are_zero_false_or_empty() {
    let zero = |element, shape: &[usize]| Tensor::zero(element, shape.to_vec()).unwrap();
    assert_eq!(zero(ElementType::F32, &[]), Tensor::scalar(0f32));
    assert_eq!(zero(ElementType::String, &[2]), Tensor::strings(["", ""]));
    assert_eq!(zero(ElementType::Bool, &[1]), Tensor::bools(&[false]));
    assert!(Tensor::zero(ElementType::F64, vec![usize::MAX, 2]).is_err());
}
