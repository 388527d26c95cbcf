//! Encryption of API secrets at rest: XChaCha20-Poly1305, whose nonces are long enough to be drawn at random.

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};

use super::{CatalogError, Result};
use crate::domain::{CloudId, Secret};

/// Leads every sealed value, so that another cipher can follow one day.
const FORMAT: u8 = 1;
const NONCE_BYTES: usize = 24;
const CHECK_TEXT: &[u8] = b"this catalog belongs to this key";
const CHECK_NAME: &[u8] = b"tintype/catalog/key-check";

/// Seals and opens what must not lie in a database in plain text. Layout of a sealed value: format byte, nonce of 24
/// bytes, cipher text with its tag of 16 bytes.
#[derive(Clone)]
pub(super) struct Sealer {
    cipher: XChaCha20Poly1305,
}

impl Sealer {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        Self { cipher: XChaCha20Poly1305::new(key.into()) }
    }

    /// The secret of a key pair, bound to cloud and key: moved to another row it does not open.
    pub(super) fn seal_secret(&self, cloud: &CloudId, key: &str, secret: &Secret) -> Result<Vec<u8>> {
        self.seal(&secret_name(cloud, key), secret.expose().as_bytes())
    }

    pub(super) fn open_secret(&self, cloud: &CloudId, key: &str, sealed: &[u8]) -> Result<Secret> {
        self.open(&secret_name(cloud, key), sealed)
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .map(Secret::new)
            .ok_or_else(|| CatalogError::Corrupt(format!("the secret of API key {key} cannot be decrypted")))
    }

    /// A value by which [`Self::verify`] knows the key again.
    pub(super) fn key_check(&self) -> Result<Vec<u8>> {
        self.seal(CHECK_NAME, CHECK_TEXT)
    }

    pub(super) fn verify(&self, key_check: &[u8]) -> Result<()> {
        match self.open(CHECK_NAME, key_check) {
            Some(text) if text == CHECK_TEXT => Ok(()),
            _ => Err(CatalogError::WrongKey("its API secrets were encrypted with another one".to_owned())),
        }
    }

    fn seal(&self, name: &[u8], plain: &[u8]) -> Result<Vec<u8>> {
        let nonce: [u8; NONCE_BYTES] = rand::random();
        let sealed = self
            .cipher
            .encrypt(XNonce::from_slice(&nonce), Payload { msg: plain, aad: name })
            .map_err(|_| CatalogError::Invalid { what: "a secret", reason: "it is too long to be encrypted" })?;
        Ok([&[FORMAT], nonce.as_slice(), &sealed].concat())
    }

    fn open(&self, name: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, cipher_text) = sealed.strip_prefix(&[FORMAT])?.split_at_checked(NONCE_BYTES)?;
        self.cipher.decrypt(XNonce::from_slice(nonce), Payload { msg: cipher_text, aad: name }).ok()
    }
}

fn secret_name(cloud: &CloudId, key: &str) -> Vec<u8> {
    format!("tintype/catalog/secret/{cloud}/{key}").into_bytes()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_secret_opens_only_in_its_place_and_whole() {
        let sealer = Sealer::new(&[7; 32]);
        let (cloud, other) = (CloudId::random(), CloudId::random());
        let secret = Secret::new("abcdefghijk");
        let sealed = sealer.seal_secret(&cloud, "123", &secret).unwrap();
        assert!(sealer.open_secret(&cloud, "123", &sealed).unwrap() == secret);
        assert_ne!(sealed, sealer.seal_secret(&cloud, "123", &secret).unwrap(), "nonces differ");
        assert!(sealer.open_secret(&other, "123", &sealed).is_err());
        assert!(sealer.open_secret(&cloud, "124", &sealed).is_err());
        assert!(Sealer::new(&[8; 32]).open_secret(&cloud, "123", &sealed).is_err());
        for index in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[index] ^= 1;
            assert!(sealer.open_secret(&cloud, "123", &damaged).is_err(), "byte {index}");
            assert!(sealer.open_secret(&cloud, "123", &sealed[..index]).is_err(), "cut to {index}");
        }
    }

    #[test]
    fn the_check_value_tells_keys_apart() {
        let check = Sealer::new(&[7; 32]).key_check().unwrap();
        assert!(Sealer::new(&[7; 32]).verify(&check).is_ok());
        assert!(matches!(Sealer::new(&[8; 32]).verify(&check), Err(CatalogError::WrongKey(_))));
        assert!(matches!(Sealer::new(&[7; 32]).verify(b""), Err(CatalogError::WrongKey(_))));
    }
}
