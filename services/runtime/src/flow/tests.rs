use http::{HeaderMap, HeaderValue};
use tonic::metadata::MetadataMap;

use super::*;

fn headers(value: &str) -> HeaderMap {
    let value = HeaderValue::from_str(value).expect("a header value");
    HeaderMap::from_iter([(http::HeaderName::from_static(MOTET_FLOW), value)])
}

#[test]
fn what_is_written_is_read_again() {
    for keys in [&[7][..], &[1, 2], &[u64::MAX, 0, 3], &[1, 2, 3, 4]] {
        let flow = Flow::new(keys);
        let mut metadata = MetadataMap::new();
        flow.write(&mut metadata);
        let read = Flow::of(&Extensions::new(), metadata.as_ref());
        assert_eq!(read, Ok(flow));
    }
    let mut metadata = MetadataMap::new();
    Flow::default().write(&mut metadata);
    assert!(metadata.is_empty());
}

#[test]
fn a_header_that_is_no_flow_is_refused() {
    for value in [
        "",
        "/",
        "a/",
        "xyz",
        "-1",
        "+1",
        "1/2/3/4/5",
        "12345678901234567",
        "a b",
    ] {
        let read = Flow::of(&Extensions::new(), &headers(value));
        assert_eq!(read, Err(FlowError), "{value:?}");
    }
}

#[test]
fn levels_beyond_the_deepest_are_left_out() {
    let outer = Flow::new(&[1, 2]);
    let read = header::parse(outer, &HeaderValue::from_static("a/b/c"));
    assert_eq!(read, Ok(Flow::new(&[1, 2, 0xa, 0xb])));
}

#[test]
fn connections_of_one_machine_share_its_level() {
    let of = |peer: &str, number| {
        let peer: IpAddr = peer.parse().expect("an address");
        Flow::of_connection(peer, number).keys().to_vec()
    };
    for (one, other, same) in [
        ("10.0.0.1", "10.0.0.1", true),
        ("10.0.0.1", "::ffff:10.0.0.1", true),
        ("10.0.0.1", "10.0.0.2", false),
        ("2001:db8::1", "2001:db8::ffff:2", true),
        ("2001:db8::1", "2001:db8:0:1::1", false),
        ("::1", "127.0.0.1", false),
    ] {
        let (one, other) = (of(one, 1), of(other, 2));
        assert_eq!(one[0] == other[0], same);
        assert_ne!(one[1], other[1]);
        assert_eq!((one.len(), other.len()), (2, 2));
    }
}

#[tokio::test]
async fn the_current_flow_ends_with_its_scope() {
    let flow = Flow::new(&[1]);
    let (inside, nested) = flow
        .scope(async { (Flow::current(), Flow::new(&[2]).sync_scope(Flow::current)) })
        .await;
    assert_eq!(inside, flow);
    assert_eq!(nested, Flow::new(&[2]));
    assert!(Flow::current().is_empty());
}
