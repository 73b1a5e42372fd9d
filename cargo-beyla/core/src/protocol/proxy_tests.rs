use proptest::prelude::*;

use super::*;

/// The second version, with these bytes behind its fixed part.
fn binary(version_and_command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).expect("a length").to_be_bytes();
    [&SIGNATURE[..], &[version_and_command, family], &length, rest].concat()
}

fn unix(source: &[u8]) -> Vec<u8> {
    let mut addresses = source.to_vec();
    addresses.resize(UNIX, 0);
    addresses.extend_from_slice(b"/run/server.sock");
    addresses.resize(ADDRESSES_MAX, 0);
    addresses
}

const V4: [u8; 12] = [192, 0, 2, 7, 192, 0, 2, 1, 0xc3, 0x50, 0x01, 0xbb];

/// What it is read as, wherever it is cut, and whatever follows.
#[track_caller]
fn check(header: &[u8], client: Option<&str>) {
    for follows in ["", "GET / HTTP/1.1\r\n\r\n", "\r\n"] {
        let bytes = [header, follows.as_bytes()].concat();
        let Read::Header { length, client: found } = read(&bytes) else { panic!("{header:?}: {:?}", read(&bytes)) };
        assert_eq!(length, header.len());
        assert_eq!(found.map(|found| found.to_string()).as_deref(), client);
    }
    let known = read(header);
    for end in 0..header.len() {
        let part = read(&header[..end]);
        assert!(part == Read::Partial || (end >= FIXED && part == known), "{end} {part:?}");
    }
}

#[test]
fn the_first_version() {
    check(b"PROXY TCP4 192.0.2.7 192.0.2.1 50000 443\r\n", Some("192.0.2.7:50000"));
    check(b"PROXY TCP6 2001:db8::7 2001:db8::1 50000 443\r\n", Some("[2001:db8::7]:50000"));
    check(b"PROXY TCP6 ::ffff:192.0.2.7 ::1 1 65535\r\n", Some("192.0.2.7:1"));
    check(b"PROXY UNKNOWN\r\n", None);
    let longest = format!("PROXY UNKNOWN {0} {0} 65535 65535\r\n", "f".repeat(39));
    assert_eq!(longest.len(), LINE_MAX);
    check(longest.as_bytes(), None);
}

#[test]
fn the_second_version() {
    check(&binary(0x21, 0x11, &V4), Some("192.0.2.7:50000"));
    check(&binary(0x21, 0x12, &[&V4[..], b"\x04\0\x03abc"].concat()), Some("192.0.2.7:50000"));
    let v6 = [&Ipv6Addr::LOCALHOST.octets()[..], &Ipv6Addr::UNSPECIFIED.octets(), &[0, 1, 0, 2]].concat();
    check(&binary(0x21, 0x21, &v6), Some("[::1]:1"));
    check(&binary(0x21, 0x31, &unix(b"/run/client.sock")), Some("unix:/run/client.sock"));
    check(&binary(0x21, 0x31, &unix(b"\0client")), Some("unix:@client"));
    check(&binary(0x21, 0x31, &unix(b"")), Some("unix:"));
    // Nobody's, and the proxy's own.
    check(&binary(0x21, 0x00, b""), None);
    check(&binary(0x21, 0x00, &[7; 3000]), None);
    check(&binary(0x20, 0x00, b""), None);
    check(&binary(0x20, 0x11, &V4), None);
    check(&binary(0x21, 0x11, &[&V4[..], &vec![0; 65_000]].concat()), Some("192.0.2.7:50000"));
}

#[test]
fn what_is_no_header() {
    for text in [
        "GET / HTTP/1.1\r\n",
        "POST / HTTP/1.1\r\n",
        "PROXYTCP4 ",
        "\r\nGET",
        "\r\n\r\nGET",
        "PROXY \r\n",
        "PROXY TCP4\r\n",
        "PROXY TCP4 192.0.2.7 192.0.2.1 50000\r\n",
        "PROXY TCP4 192.0.2.7 192.0.2.1 50000 443 1\r\n",
        "PROXY TCP4 192.0.2.7 2001:db8::1 50000 443\r\n",
        "PROXY TCP4 192.0.2.7  192.0.2.1 50000 443\r\n",
        "PROXY TCP4 192.0.2.777 192.0.2.1 50000 443\r\n",
        "PROXY TCP6 192.0.2.7 192.0.2.1 50000 443\r\n",
        "PROXY TCP4 192.0.2.7 192.0.2.1 65536 443\r\n",
        "PROXY UDP4 192.0.2.7 192.0.2.1 50000 443\r\n",
        "PROXY /path HTTP/1.1\r\n",
    ] {
        assert_eq!(read(text.as_bytes()), Read::None, "{text:?}");
    }
    assert_eq!(read(format!("PROXY UNKNOWN {}", "x".repeat(200)).as_bytes()), Read::None);
    assert_eq!(read(&binary(0x11, 0x11, &V4)), Read::None);
    assert_eq!(read(&binary(0x22, 0x11, &V4)), Read::None);
    assert_eq!(read(&binary(0x21, 0x11, &V4[..11])), Read::None);
    assert_eq!(read(&binary(0x21, 0x31, &[0; ADDRESSES_MAX - 1])), Read::None);
    assert_eq!(read(b""), Read::Partial);
}

proptest! {
    #[test]
    fn any_bytes_are_read_and_never_more_of_them_than_are_held(
        start in prop_oneof![Just(LINE.to_vec()), Just(SIGNATURE.to_vec()), Just(binary(0x21, 0x31, &[])), Just(vec![])],
        rest in proptest::collection::vec(any::<u8>(), 0..400),
    ) {
        let bytes = [start, rest].concat();
        let whole = read(&bytes);
        if bytes.len() >= READ_MAX {
            prop_assert_ne!(&whole, &Read::Partial);
            prop_assert_eq!(&whole, &read(&bytes[..READ_MAX]));
        }
        if whole != Read::Partial {
            // More bytes change nothing.
            prop_assert_eq!(&whole, &read(&[&bytes[..], b"more"].concat()));
        }
    }
}
