//! Tokens with which a browser may take back what it has just uploaded (api.md 3.17). They hold what they allow and are
//! signed with the secret of the uploading key, so that nothing has to be kept.

use crate::domain::{ApiKey, Asset, AssetId, Timestamp};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// How long a token is good, in seconds.
const LIFE_S: i64 = 600;

/// What a token allows, once its signature holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteToken {
    pub asset: AssetId,
    pub version: u64,
    /// Name of the key that signed it.
    pub key: String,
    expires_s: i64,
    signature: Vec<u8>,
}

fn sign(asset: &str, version: u64, key: &str, expires_s: i64, secret: &str) -> Vec<u8> {
    let text = format!("delete_token:{asset}:{version}:{key}:{expires_s}:{secret}");
    // Twice, so that the text cannot be continued.
    Sha256::digest(Sha256::digest(text.as_bytes())).to_vec()
}

/// A token for the present version of an asset.
pub fn issue(asset: &Asset, key: &ApiKey, now: Timestamp) -> String {
    let expires_s = now.unix_seconds().saturating_add(LIFE_S);
    let signature = sign(asset.id.as_str(), asset.version, &key.key, expires_s, key.secret.expose());
    let text = format!("{}:{}:{}:{expires_s}:{}", asset.id, asset.version, key.key, hex::encode(signature));
    URL_SAFE_NO_PAD.encode(text)
}

impl DeleteToken {
    /// Reads a token; nothing is proven yet.
    pub fn read(text: &str) -> Option<Self> {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let parts: Vec<&str> = text.split(':').collect();
        let [asset, version, key, expires_s, signature] = parts.as_slice() else { return None };
        Some(DeleteToken {
            asset: AssetId::new(*asset).ok()?,
            version: version.parse().ok()?,
            key: (*key).to_owned(),
            expires_s: expires_s.parse().ok()?,
            signature: hex::decode(signature).ok()?,
        })
    }

    /// Whether the key of that name made the token and it is still good.
    pub fn holds(&self, key: &ApiKey, now: Timestamp) -> bool {
        let wanted = sign(self.asset.as_str(), self.version, &self.key, self.expires_s, key.secret.expose());
        key.key == self.key
            && key.enabled
            && now.unix_seconds() <= self.expires_s
            && bool::from(wanted.as_slice().ct_eq(&self.signature))
    }
}
