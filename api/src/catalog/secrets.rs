//! API secrets at rest: encrypted with a key that is kept outside of the database.

use super::{CatalogError, Result};
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};

/// Bytes of the random nonce in front of every ciphertext.
const NONCE_BYTES: usize = 24;
/// Name of the setting that proves the key at every start.
pub(super) const CHECK_SETTING: &str = "secret_key_check";
const CHECK_TEXT: &str = "tintype";

/// Encrypts and decrypts secrets. XChaCha20-Poly1305 with random nonces; the name of what is encrypted is authenticated,
/// so that a row cannot be given another row's secret.
#[derive(Clone)]
pub(super) struct SecretBox {
    cipher: XChaCha20Poly1305,
}

impl SecretBox {
    pub fn new(key: [u8; 32]) -> Self {
        SecretBox { cipher: XChaCha20Poly1305::new(&key.into()) }
    }

    /// `name` is the API key that the secret belongs to.
    pub fn seal(&self, name: &str, secret: &str) -> Result<Vec<u8>> {
        let nonce: [u8; NONCE_BYTES] = rand::random();
        let payload = Payload { msg: secret.as_bytes(), aad: name.as_bytes() };
        let sealed = self.cipher.encrypt(XNonce::from_slice(&nonce), payload).map_err(|_| CatalogError::Internal {
            operation: "encrypt a secret",
            detail: "the cipher refused".into(),
        })?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// [`CatalogError::WrongKey`] when it was sealed with another key or for another name.
    pub fn open(&self, name: &str, sealed: &[u8]) -> Result<String> {
        let wrong = || CatalogError::WrongKey(format!("a value of {name} cannot be decrypted"));
        let (nonce, text) = sealed.split_at_checked(NONCE_BYTES).ok_or_else(wrong)?;
        let payload = Payload { msg: text, aad: name.as_bytes() };
        let secret = self.cipher.decrypt(XNonce::from_slice(nonce), payload).map_err(|_| wrong())?;
        String::from_utf8(secret).map_err(|_| wrong())
    }

    /// The value of [`CHECK_SETTING`] for a new catalog.
    pub fn new_check(&self) -> Result<String> {
        Ok(hex::encode(self.seal(CHECK_SETTING, CHECK_TEXT)?))
    }

    /// Whether a catalog's check was made with this key.
    pub fn check(&self, kept: &str) -> Result<()> {
        let sealed = hex::decode(kept).map_err(|_| CatalogError::Corrupt("the key check is no hexadecimal".into()))?;
        self.open(CHECK_SETTING, &sealed)
            .map(|_| ())
            .map_err(|_| CatalogError::WrongKey("secret_key_file does not fit".into()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_the_same_key_and_name_open_a_secret() {
        let (mine, other) = (SecretBox::new([1; 32]), SecretBox::new([2; 32]));
        let sealed = mine.seal("123", "s3cr3t").unwrap();
        assert!(!sealed.windows(6).any(|window| window == b"s3cr3t"));
        assert_eq!(mine.open("123", &sealed).unwrap(), "s3cr3t");
        assert!(matches!(mine.open("124", &sealed), Err(CatalogError::WrongKey(_))));
        assert!(matches!(other.open("123", &sealed), Err(CatalogError::WrongKey(_))));
        assert!(matches!(mine.open("123", b"short"), Err(CatalogError::WrongKey(_))));
        assert!(mine.check(&mine.new_check().unwrap()).is_ok());
        assert!(matches!(other.check(&mine.new_check().unwrap()), Err(CatalogError::WrongKey(_))));
    }
}
