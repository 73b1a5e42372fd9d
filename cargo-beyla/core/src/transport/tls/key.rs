//! The key of one direction of a connection, and what it proves: AES-GCM, NIST SP 800-38D.
//!
//! The tag of a record is `GHASH(H, additional data, cipher text) xor AES(K, nonce || 1)`, with `H = AES(K, 0)`. All of it
//! but the key and the nonce is on the wire. So a key that may be the record's gives `nonce || 1` back, by deciphering one
//! block; and if the last four bytes are not `00000001`, it is another key. The right key proves itself, and brings the
//! nonce with it.

use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, InnerIvInit, KeyInit, StreamCipherCoreWrapper};
use aes::cipher::{StreamCipher, StreamCipherSeek};
use aes::{Aes128, Aes256, Block};
use ctr::{CtrCore, flavors};
use ghash::{GHash, universal_hash::UniversalHash};

/// Bytes of a tag.
pub(super) const TAG: usize = 16;

/// The initialisation vector of a record.
pub(super) type Nonce = [u8; 12];

/// A block of AES.
const BLOCK: usize = 16;

/// A key that is ready to use. Its bytes are wiped when it is dropped.
pub(super) struct TrafficKey(Box<Aes>);

enum Aes {
    Of128(Aes128),
    Of256(Aes256),
}

/// What counts the blocks of a record.
type Counter<'a, C> = StreamCipherCoreWrapper<CtrCore<&'a C, flavors::Ctr32BE>>;

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
    pub(super) fn decipher(&self, nonce: &Nonce, at: usize, bytes: &mut [u8]) {
        // Block 1 masks the tag.
        let mut first = Block::default();
        first[..12].copy_from_slice(nonce);
        first[15] = 2;
        match &*self.0 {
            Aes::Of128(aes) => apply(Counter::from_core(CtrCore::inner_iv_init(aes, &first)), at, bytes),
            Aes::Of256(aes) => apply(Counter::from_core(CtrCore::inner_iv_init(aes, &first)), at, bytes),
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

/// Deciphers bytes at a place. A record is far too short to reach the end of the key stream.
fn apply(mut stream: impl StreamCipher + StreamCipherSeek, at: usize, bytes: &mut [u8]) {
    if stream.try_seek(at).is_ok() {
        let _ = stream.try_apply_keystream(bytes);
    }
}
