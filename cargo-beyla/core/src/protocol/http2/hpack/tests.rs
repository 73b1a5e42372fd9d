//! The examples of RFC 7541, appendix C, and what a listener meets beside them.

use proptest::prelude::*;

use super::*;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<_> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("digits"), 16).expect("a byte");
    digits.chunks(2).map(byte).collect()
}

/// The fields of a block as `name: value`, with `?` for what is not known.
fn fields(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<String>, Broken> {
    let mut fields = Vec::new();
    let text = |known: Option<&[u8]>| String::from_utf8_lossy(known.unwrap_or(b"?")).into_owned();
    let result =
        decoder.decode(block, |_| true, |field| fields.push(format!("{}: {}", text(field.name), text(field.value))));
    result.map(|()| fields)
}

/// Fields, and the dynamic table afterwards, with its size.
#[track_caller]
fn check(decoder: &mut Decoder, hex: &str, expected: &[&str], table: &[&str], size: usize) {
    assert_eq!(fields(decoder, &bytes(hex)), Ok(expected.iter().map(ToString::to_string).collect()));
    assert_eq!(decoder.table.dynamic(), table);
    assert_eq!(decoder.table.size(), size);
}

#[test]
fn c1_integers() {
    for (hex, prefix, value) in [("0a", 5, 10), ("ea", 5, 10), ("1f9a0a", 5, 1337), ("ff9a0a", 5, 1337), ("2a", 8, 42)]
    {
        let block = bytes(hex);
        let input = &mut &*block;
        assert_eq!(integer(input, prefix), Ok(value), "{hex}");
        assert!(input.is_empty());
    }
    assert_eq!(integer(&mut &*bytes("1f ffffff7f"), 5), Ok((1 << 28) - 1 + 31));
    for hex in ["", "1f", "1f80", "1fffffffffff0f", "1f8080808000"] {
        assert_eq!(integer(&mut &*bytes(hex), 5), Err(Broken), "{hex}");
    }
}

#[test]
fn c2_fields() {
    let mut decoder = Decoder::new();
    check(&mut decoder, "040c 2f73 616d 706c 652f 7061 7468", &[":path: /sample/path"], &[], 0);
    check(&mut decoder, "1008 7061 7373 776f 7264 0673 6563 7265 74", &["password: secret"], &[], 0);
    check(&mut decoder, "82", &[":method: GET"], &[], 0);
    let custom = "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572";
    check(&mut decoder, custom, &["custom-key: custom-header"], &["custom-key: custom-header"], 55);
}

const REQUESTS: [(&[&str], &[&str], usize); 3] = [
    (
        &[":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"],
        &[":authority: www.example.com"],
        57,
    ),
    (
        &[":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com", "cache-control: no-cache"],
        &["cache-control: no-cache", ":authority: www.example.com"],
        110,
    ),
    (
        &[
            ":method: GET",
            ":scheme: https",
            ":path: /index.html",
            ":authority: www.example.com",
            "custom-key: custom-value",
        ],
        &["custom-key: custom-value", "cache-control: no-cache", ":authority: www.example.com"],
        164,
    ),
];

#[test]
fn c3_requests_without_the_huffman_code() {
    let blocks = [
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ];
    let mut decoder = Decoder::new();
    for (block, (fields, table, size)) in blocks.iter().zip(REQUESTS) {
        check(&mut decoder, block, fields, table, size);
    }
}

#[test]
fn c4_requests_in_the_huffman_code() {
    let blocks = [
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ];
    let mut decoder = Decoder::new();
    for (block, (fields, table, size)) in blocks.iter().zip(REQUESTS) {
        check(&mut decoder, block, fields, table, size);
    }
}

const LOCATION: &str = "location: https://www.example.com";
const FIRST_DATE: &str = "date: Mon, 21 Oct 2013 20:13:21 GMT";
const LAST_DATE: &str = "date: Mon, 21 Oct 2013 20:13:22 GMT";
const COOKIE: &str = "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";
const CONTROL: &str = "cache-control: private";

/// With a table of 256 bytes, so that entries are evicted.
const RESPONSES: [(&[&str], &[&str], usize); 3] = [
    (&[":status: 302", CONTROL, FIRST_DATE, LOCATION], &[LOCATION, FIRST_DATE, CONTROL, ":status: 302"], 222),
    (&[":status: 307", CONTROL, FIRST_DATE, LOCATION], &[":status: 307", LOCATION, FIRST_DATE, CONTROL], 222),
    (
        &[":status: 200", CONTROL, LAST_DATE, LOCATION, "content-encoding: gzip", COOKIE],
        &[COOKIE, "content-encoding: gzip", LAST_DATE],
        215,
    ),
];

#[test]
fn c5_responses_without_the_huffman_code() {
    let blocks = [
        "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d
         546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "4803 3330 37c1 c0bf",
        "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f
         6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b
         2076 6572 7369 6f6e 3d31",
    ];
    let mut decoder = Decoder::new();
    decoder.table.resize(256);
    for (block, (fields, table, size)) in blocks.iter().zip(RESPONSES) {
        check(&mut decoder, block, fields, table, size);
    }
}

#[test]
fn c6_responses_in_the_huffman_code() {
    let blocks = [
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7
         8f0b 97c8 e9ae 82ae 43d3",
        "4883 640e ffc1 c0bf",
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335
         dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
    ];
    let mut decoder = Decoder::new();
    decoder.table.resize(256);
    for (block, (fields, table, size)) in blocks.iter().zip(RESPONSES) {
        check(&mut decoder, block, fields, table, size);
    }
}

#[test]
fn the_encoder_resizes_its_table() {
    let mut decoder = Decoder::new();
    let custom = "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572";
    check(&mut decoder, custom, &["custom-key: custom-header"], &["custom-key: custom-header"], 55);
    // 0, which empties it, then 256.
    check(&mut decoder, "20 3fe101 be", &["?: ?"], &[], 0);
    // Far more than anything here holds: what is added stays within the bound.
    fields(&mut decoder, &bytes("3fffffff7f")).expect("a size");
    let entry = [&bytes("41 7f ff06")[..], &[b'x'; 1022]].concat();
    let added = 2 * table::SIZE_MAX / entry.len();
    for _ in 0..added {
        fields(&mut decoder, &entry).expect("a field");
    }
    assert!(decoder.table.size() <= table::SIZE_MAX && decoder.table.dynamic().len() < added);
    // Larger than the table itself.
    fields(&mut decoder, &bytes("3f21")).expect("a size");
    check(&mut decoder, custom, &["custom-key: custom-header"], &["custom-key: custom-header"], 55);
    fields(&mut decoder, &entry).expect("a field");
    assert_eq!((decoder.table.size(), decoder.table.dynamic().len()), (0, 0));
}

#[test]
fn after_a_loss_what_is_literal_or_static_is_known_and_what_comes_again() {
    let mut decoder = Decoder::new();
    decoder.lose();
    // Static, unknown, and a literal that is added, under a name that is not known.
    let block = bytes("82 be bf 7f00 0161 04 0162 4001 63 01 64");
    assert_eq!(
        fields(&mut decoder, &block),
        Ok([":method: GET", "?: ?", "?: ?", "?: a", ":path: b", "c: d"].map(String::from).to_vec())
    );
    assert_eq!(fields(&mut decoder, &bytes("be bf c0")), Ok(["c: d", "?: a", "?: ?"].map(String::from).to_vec()));
}

#[test]
fn a_broken_block_is_a_loss() {
    let mut decoder = Decoder::new();
    fields(&mut decoder, &bytes("4001 63 01 64")).expect("a field");
    for hex in ["80", "40", "4001", "4001 63", "4001 6301", "0005 6161", "418c f1e3", "82 ff", "0081 00 0161"] {
        let broken = fields(&mut decoder, &bytes(hex));
        // The last one is padded with zeros, which the crate takes.
        assert!(broken == Err(Broken) || hex.starts_with("0081"), "{hex}");
    }
    assert_eq!(fields(&mut decoder, &bytes("be")), Ok(vec!["?: ?".to_string()]));
}

proptest! {
    #[test]
    fn any_block_is_decoded_and_the_table_is_bounded(blocks in proptest::collection::vec(
        proptest::collection::vec(any::<u8>(), 0..300), 0..8)
    ) {
        let mut decoder = Decoder::new();
        for block in blocks {
            let mut count = 0;
            let _ = decoder.decode(&block, |_| true, |_| count += 1);
            prop_assert!(count <= block.len());
            prop_assert!(decoder.table.size() <= table::SIZE_MAX);
        }
    }

    #[test]
    fn the_huffman_code_is_read_back(text in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut coded = Vec::new();
        httlib_huffman::encode(&text, &mut coded).expect("any byte has a code");
        let mut block = vec![0x00, 0x01, b'a', 0xff];
        let length = coded.len();
        if length >= 127 {
            let rest = length - 127;
            if rest >= 128 {
                block.push((rest % 128) as u8 | 0x80);
                block.push((rest / 128) as u8);
            } else {
                block.push(rest as u8);
            }
        } else {
            block[3] = 0x80 | length as u8;
        }
        block.extend(coded);
        let mut found = None;
        Decoder::new().decode(&block, |_| true, |field| found = field.value.map(<[u8]>::to_vec)).expect("a block");
        prop_assert_eq!(found, Some(text));
    }
}
