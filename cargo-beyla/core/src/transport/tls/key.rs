//! The key of one direction of a connection, and what it proves: AES-GCM, NIST SP 800-38D.
//!
//! The tag of a record is `GHASH(H, additional data, cipher text) xor AES(K, nonce || 1)`, with `H = AES(K, 0)`. All of it
//! but the key and the nonce is on the wire. So a key that may be the record's gives `nonce || 1` back, by deciphering one
//! block; and if the last four bytes are not `00000001`, it is another key. The right key proves itself, and brings the
//! nonce with it.

use aes::cipher::array::Array;
use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use aes::{Aes128, Aes256, Block};
use ghash::{GHash, universal_hash::UniversalHash};

/// Bytes of a tag.
pub(super) const TAG: usize = 16;

/// The initialisation vector of a record.
pub(super) type Nonce = [u8; 12];

/// A block of AES.
const BLOCK: usize = 16;

/// So many are made of the key stream at a time: the processor works on several at once.
const STREAM: usize = 64;

/// The counter of the first block of cipher text. Block 1 masks the tag.
const FIRST: u128 = 2;

/// A key that is ready to use. Its bytes are wiped when it is dropped.
pub(super) struct TrafficKey(Box<Aes>);

enum Aes {
    Of128(Aes128),
    Of256(Aes256),
}

impl std::fmt::Debug for TrafficKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("TrafficKey")
    }
}

impl TrafficKey {
    /// A key of 16 or 32 bytes; `None` for any other length.
    pub(super) fn new(bytes: &[u8]) -> Option<Self> {
        let aes = match bytes.len() {
            16 => Aes::Of128(Aes128::new_from_slice(bytes).ok()?),
            32 => Aes::Of256(Aes256::new_from_slice(bytes).ok()?),
            _ => return None,
        };
        Some(Self(Box::new(aes)))
    }

    /// Its bytes.
    pub(super) fn length(&self) -> usize {
        match &*self.0 {
            Aes::Of128(_) => 16,
            Aes::Of256(_) => 32,
        }
    }

    /// The nonce with which this key has sealed a record, if it has: `text` is its cipher text.
    pub(super) fn prove(&self, additional_data: &[u8], text: &[u8], tag: [u8; TAG]) -> Option<Nonce> {
        let mut mask = Block::from(tag);
        for (byte, hash) in mask.iter_mut().zip(self.hash(additional_data, text)) {
            *byte ^= hash;
        }
        match &*self.0 {
            Aes::Of128(aes) => aes.decrypt_block(&mut mask),
            Aes::Of256(aes) => aes.decrypt_block(&mut mask),
        }
        let (nonce, counter) = mask.split_first_chunk::<12>()?;
        (counter == [0, 0, 0, 1]).then_some(*nonce)
    }

    /// Deciphers a part of a record, which begins with the byte `at` of its cipher text.
    pub(super) fn decipher(&self, nonce: &Nonce, at: usize, mut bytes: &mut [u8]) {
        let mut first = [0; BLOCK];
        first[..12].copy_from_slice(nonce);
        let mut counter = u128::from_be_bytes(first) + FIRST + (at / BLOCK) as u128;
        let mut stream = [Block::default(); STREAM];
        let mut skip = at % BLOCK;
        while !bytes.is_empty() {
            let count = (skip + bytes.len()).div_ceil(BLOCK).min(STREAM);
            let blocks = &mut stream[..count];
            for block in &mut *blocks {
                *block = counter.to_be_bytes().into();
                counter += 1;
            }
            match &*self.0 {
                Aes::Of128(aes) => aes.encrypt_blocks(blocks),
                Aes::Of256(aes) => aes.encrypt_blocks(blocks),
            }
            let mask = &Array::slice_as_flattened(blocks)[skip..];
            let length = mask.len().min(bytes.len());
            let (part, rest) = bytes.split_at_mut(length);
            mask_with(part, &mask[..length]);
            (bytes, skip) = (rest, 0);
        }
    }

    /// The tag of a record that is sealed with this nonce.
    #[cfg(test)]
    pub(super) fn tag(&self, nonce: &Nonce, additional_data: &[u8], text: &[u8]) -> [u8; TAG] {
        let mut mask = Block::default();
        mask[..12].copy_from_slice(nonce);
        mask[15] = 1;
        match &*self.0 {
            Aes::Of128(aes) => aes.encrypt_block(&mut mask),
            Aes::Of256(aes) => aes.encrypt_block(&mut mask),
        }
        let hash = self.hash(additional_data, text);
        std::array::from_fn(|index| mask[index] ^ hash[index])
    }

    fn hash(&self, additional_data: &[u8], text: &[u8]) -> [u8; BLOCK] {
        let mut h = Block::default();
        match &*self.0 {
            Aes::Of128(aes) => aes.encrypt_block(&mut h),
            Aes::Of256(aes) => aes.encrypt_block(&mut h),
        }
        let mut hash = GHash::new(&h);
        hash.update_padded(additional_data);
        hash.update_padded(text);
        let bits = |bytes: &[u8]| (bytes.len() as u64 * 8).to_be_bytes();
        let mut lengths = Block::default();
        lengths[..8].copy_from_slice(&bits(additional_data));
        lengths[8..].copy_from_slice(&bits(text));
        hash.update(&[lengths]);
        hash.finalize().into()
    }
}

/// Masks bytes with as many others, a word at a time.
fn mask_with(bytes: &mut [u8], mask: &[u8]) {
    let (words, rest) = bytes.as_chunks_mut::<16>();
    let (masks, masks_rest) = mask.as_chunks::<16>();
    for (word, mask) in words.iter_mut().zip(masks) {
        *word = (u128::from_ne_bytes(*word) ^ u128::from_ne_bytes(*mask)).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(masks_rest) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes<const N: usize>(hex: &str) -> [u8; N] {
        std::array::from_fn(|index| u8::from_str_radix(&hex[2 * index..][..2], 16).expect("digits"))
    }

    /// Test case 3 of "The Galois/Counter Mode of Operation (GCM)", appendix B.
    #[test]
    fn a_key_proves_itself_and_deciphers() {
        let key = TrafficKey::new(&bytes::<16>("feffe9928665731c6d6a8f9467308308")).expect("a key");
        let mut text: [u8; 64] = bytes(
            "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e\
             21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091473f5985",
        );
        let nonce = key.prove(&[], &text, bytes("4d5c2af327cd64a62cf35abd2ba6fab4")).expect("it is the key");
        assert_eq!(nonce, bytes("cafebabefacedbaddecaf888"));
        key.decipher(&nonce, 0, &mut text);
        let expected: [u8; 64] = bytes(
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72\
             1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255",
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn a_part_is_deciphered_as_the_whole_is() {
        let key = TrafficKey::new(&[7; 32]).expect("a key");
        // The greatest nonce, and more than is done at once.
        let nonce = [0xFF; 12];
        let mut whole = vec![0; 3 * STREAM * BLOCK + 5];
        key.decipher(&nonce, 0, &mut whole);
        for (at, byte) in whole.iter().enumerate() {
            let mut single = [0];
            key.decipher(&nonce, at, &mut single);
            assert_eq!(single, [*byte], "{at}");
        }
        for (at, length) in [(1, 15), (15, 2), (17, STREAM * BLOCK), (1000, 2000)] {
            let mut part = vec![0; length];
            key.decipher(&nonce, at, &mut part);
            assert_eq!(part, whole[at..at + length], "{at}, {length}");
        }
    }
}
