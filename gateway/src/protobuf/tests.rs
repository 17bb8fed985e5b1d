//! Tests of reading and writing fields of every type.

use motet_proto::tensor::Tensor;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, Value};

use super::{FieldPath, descriptors, read, write};

fn pool() -> DescriptorPool {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/protos");
    let files = protox::compile(["ocr.proto"], [folder]).expect("a .proto file");
    DescriptorPool::from_file_descriptor_set(files).expect("descriptors")
}

fn message(name: &str) -> MessageDescriptor {
    let found = pool().get_message_by_name(&format!("ocr.v1.{name}"));
    found.expect("a message")
}

fn strings(values: &[&str]) -> Tensor {
    Tensor::strings(values.iter().copied())
}

fn scalar(tensor: Tensor) -> Tensor {
    tensor.reshape(Vec::new()).expect("one value")
}

fn one<T: motet_proto::tensor::Element>(value: T) -> Tensor {
    Tensor::from_values(Vec::new(), vec![value]).expect("one value")
}

fn many<T: motet_proto::tensor::Element>(values: Vec<T>) -> Tensor {
    Tensor::from_values(vec![values.len()], values).expect("values")
}

/// A message that is written, encoded, decoded and read has the same tensors.
#[test]
fn every_type_is_written_and_read() {
    let everything = message("Everything");
    let cases = [
        ("text", scalar(strings(&["größe"]))),
        ("blob", scalar(Tensor::byte_strings([&[0_u8, 255][..]]))),
        ("flag", scalar(Tensor::bools(&[true]))),
        ("int32", one(-3_i32)),
        ("sint32", one(i32::MIN)),
        ("sfixed32", one(7_i32)),
        ("int64", one(i64::MAX)),
        ("sint64", one(-1_i64)),
        ("sfixed64", one(9_i64)),
        ("uint32", one(u32::MAX)),
        ("fixed32", one(1_u32)),
        ("uint64", one(u64::MAX)),
        ("fixed64", one(2_u64)),
        ("float", one(0.5_f32)),
        ("double", one(-0.25_f64)),
        ("mode", scalar(strings(&["MODE_BEST"]))),
        ("texts", strings(&["a", "", "c"])),
        ("numbers", many(vec![1_i64, -2])),
        ("modes", strings(&["MODE_FAST", "MODE_UNSPECIFIED"])),
        ("flags", Tensor::bools(&[true, false])),
        ("blobs", Tensor::byte_strings([&b"x"[..], &[1, 2, 3]])),
        ("doubles", many(Vec::<f64>::new())),
        ("item.text", scalar(strings(&["inside"]))),
        ("item.options.size", one(4_i32)),
        ("item.options.words", strings(&["deep", "er"])),
        ("items.text", strings(&["r1", "r2"])),
        ("items.id", many(vec![1_i32, 2])),
        ("items.options.mode", strings(&["MODE_FAST", "MODE_BEST"])),
        ("note", scalar(strings(&["there"]))),
        ("wrapped", scalar(strings(&["w"]))),
        ("counts", many(vec![5_i32, 0])),
        ("right", one(6_i32)),
        ("at.seconds", one(1_700_000_000_i64)),
        ("again.again.text", scalar(strings(&["far"]))),
    ];
    let paths: Vec<FieldPath> = cases
        .iter()
        .map(|(path, _)| FieldPath::find(&everything, path).expect(path))
        .collect();
    let values = paths.iter().zip(cases.iter().map(|(_, tensor)| tensor));
    let request = write(&everything, values).expect("a request");
    let bytes = prost::Message::encode_to_vec(&request);
    let answer = DynamicMessage::decode(everything, bytes.as_slice()).expect("an answer");
    for ((name, tensor), path) in cases.iter().zip(&paths) {
        assert_eq!(path.element(), tensor.element(), "{name}");
        let found = read(path, std::slice::from_ref(&answer), false, false);
        assert_eq!(found.as_ref(), Ok(&Some(tensor.clone())), "{name}");
    }
}

#[test]
fn what_is_not_set_has_its_default_or_is_absent() {
    let everything = message("Everything");
    let empty = [DynamicMessage::new(everything.clone())];
    for (name, default) in [
        ("text", scalar(strings(&[""]))),
        ("mode", scalar(strings(&["MODE_UNSPECIFIED"]))),
        ("note", scalar(strings(&[""]))),
        ("wrapped", scalar(strings(&[""]))),
        ("item.options.size", one(0_i32)),
        ("right", one(0_i32)),
        ("texts", strings(&[])),
        ("items.id", many(Vec::<i32>::new())),
        ("item.options.words", strings(&[])),
    ] {
        let path = FieldPath::find(&everything, name).expect(name);
        let found = read(&path, &empty, false, false).expect(name);
        assert_eq!(found, Some(default), "{name}");
        if path.can_be_absent() {
            assert_eq!(read(&path, &empty, false, true), Ok(None), "{name}");
        }
    }
    for (name, can) in [
        ("text", false),
        ("note", true),
        ("wrapped", true),
        ("wrapped.value", true),
        ("item.text", true),
        ("right", true),
        ("texts", false),
        ("item.options.words", false),
        ("counts", false),
    ] {
        let path = FieldPath::find(&everything, name).expect(name);
        assert_eq!(path.can_be_absent(), can, "{name}");
    }
    // A field that is set to its default counts as set.
    let mut set = DynamicMessage::new(everything.clone());
    set.set_field_by_name("note", Value::String(String::new()));
    let path = FieldPath::find(&everything, "note").expect("note");
    let found = read(&path, &[set], false, true);
    assert_eq!(found, Ok(Some(scalar(strings(&[""])))));
}

#[test]
fn the_messages_of_a_stream_make_columns() {
    let page = message("Page");
    let pages: Vec<DynamicMessage> = [
        ("one", vec!["a", "b"]),
        ("two", vec![]),
        ("three", vec!["c"]),
    ]
    .into_iter()
    .zip(1..)
    .map(|((text, words), number)| {
        let fields = ["number", "text", "words"].map(|f| FieldPath::find(&page, f).expect(f));
        let values = [
            one::<i32>(number),
            scalar(strings(&[text])),
            strings(&words),
        ];
        write(&page, fields.iter().zip(&values)).expect("a page")
    })
    .collect();
    let column = |name: &str, pages: &[DynamicMessage]| {
        let path = FieldPath::find(&page, name).expect(name);
        read(&path, pages, true, false).expect(name).expect(name)
    };
    assert_eq!(column("number", &pages), many(vec![1, 2, 3]));
    assert_eq!(column("text", &pages), strings(&["one", "two", "three"]));
    assert_eq!(column("words", &pages), strings(&["a", "b", "c"]));
    assert_eq!(column("boxes.score", &pages), many(Vec::<f32>::new()));
    assert_eq!(column("text", &[]), strings(&[]));
}

#[test]
fn columns_of_one_list_have_one_length_and_enums_their_words() {
    let request = message("ReadRequest");
    let path = |name: &str| FieldPath::find(&request, name).expect(name);
    let (text, id, mode) = (path("items.text"), path("items.id"), path("options.mode"));
    let texts = strings(&["a", "b"]);
    let ids = many(vec![1_i32]);
    let (at, error) = write(&request, [(&text, &texts), (&id, &ids)]).expect_err("one id lacks");
    assert_eq!(at, 1);
    assert_eq!(
        error.to_string(),
        "has 1 elements, but the list `items` has 2"
    );
    let word = scalar(strings(&["FAST"]));
    let (at, error) = write(&request, [(&mode, &word)]).expect_err("no such word");
    assert_eq!(at, 0);
    assert_eq!(
        error.to_string(),
        "`FAST` is none of the values of `ocr.v1.Mode`: MODE_UNSPECIFIED, MODE_FAST, MODE_BEST"
    );
    // An enum value without a name is its number.
    let options = message("Options");
    let mut odd = DynamicMessage::new(options.clone());
    odd.set_field_by_name("mode", Value::EnumNumber(77));
    let mode = FieldPath::find(&options, "mode").expect("mode");
    let found = read(&mode, &[odd], false, false);
    assert_eq!(found, Ok(Some(scalar(strings(&["77"])))));
}

#[test]
fn paths_that_lead_nowhere_say_why() {
    let everything = message("Everything");
    for (path, at, expected) in [
        ("txt", "txt", "`ocr.v1.Everything` has no field `txt`"),
        ("", "", "`ocr.v1.Everything` has no field ``"),
        ("item.", "", "`ocr.v1.Item` has no field ``"),
        ("item.size", "size", "`ocr.v1.Item` has no field `size`"),
        (
            "text.size",
            "text",
            "field `text` of `ocr.v1.Everything` is string, which has no fields of its own",
        ),
        (
            "item",
            "item",
            "field `item` of `ocr.v1.Everything` is `ocr.v1.Item`, which is not one value",
        ),
        (
            "items",
            "items",
            "field `items` of `ocr.v1.Everything` is repeated `ocr.v1.Item`, which is not one \
             value",
        ),
        (
            "items.weights",
            "weights",
            "field `weights` of `ocr.v1.Item` is repeated float, inside the list `items`: a list \
             of lists has no tensor form",
        ),
        (
            "table",
            "table",
            "field `table` of `ocr.v1.Everything` is a map, which has no tensor form",
        ),
        (
            "json.fields.key",
            "fields",
            "field `fields` of `google.protobuf.Struct` is a map, which has no tensor form",
        ),
        (
            "at",
            "at",
            "field `at` of `ocr.v1.Everything` is `google.protobuf.Timestamp`, which is not one \
             value",
        ),
    ] {
        let error = FieldPath::find(&everything, path).expect_err(path);
        assert_eq!(error.message, expected);
        assert_eq!(&path[error.at], at, "{path}");
    }
    let far = vec!["again"; 40].join(".");
    let error = FieldPath::find(&everything, &far).expect_err("too deep");
    assert!(error.message.contains("limit of 32"), "{error}");
}

#[test]
fn a_service_reads_back_from_its_json() {
    let service = pool().get_service_by_name("ocr.v1.Ocr").expect("a service");
    let json = descriptors::to_json(&service);
    let again = descriptors::from_json("ocr.v1.Ocr", json.clone()).expect("the service");
    assert_eq!(descriptors::to_json(&again), json);
    let names = |service: &prost_reflect::ServiceDescriptor| -> Vec<String> {
        service.methods().map(|m| m.name().to_owned()).collect()
    };
    assert_eq!(names(&again), names(&service));
    assert!(descriptors::from_json("ocr.v1.Other", json).is_err());
    assert!(descriptors::from_json("ocr.v1.Ocr", serde_json::json!([1])).is_err());
}
