//! Clouds and keys.

use super::{
    super::{Catalog, CatalogError},
    new_cloud,
};
use crate::domain::{ApiKey, Cloud, CloudId, CloudName, Secret, Timestamp};

pub(super) async fn run(catalog: &dyn Catalog) {
    clouds_are_found_and_ordered(catalog).await;
    what_is_unique_stays_so(catalog).await;
    keys_are_found_and_ordered(catalog).await;
}

async fn clouds_are_found_and_ordered(catalog: &dyn Catalog) {
    // By bytes: upper case before `_`, that before lower case, digits before both; `-` before digits.
    let names = ["b1", "Demo", "B1", "demo", "b_1", "b-1", "10", "b10"];
    for name in names {
        let cloud = Cloud { created_at: super::UPLOADED, ..Cloud::new(CloudName::new(name).unwrap()) };
        catalog.create_cloud(&cloud, &ApiKey::random(cloud.id.clone())).await.unwrap();
        assert_eq!(catalog.cloud(&cloud.id).await.unwrap(), Some(cloud.clone()));
        assert_eq!(catalog.cloud_by_name(&cloud.name).await.unwrap(), Some(cloud));
    }
    let listed: Vec<_> = catalog.clouds().await.unwrap().into_iter().map(|cloud| cloud.name.to_string()).collect();
    let mut expected = names.to_vec();
    expected.sort_unstable();
    assert_eq!(listed, expected, "clouds are ordered by the bytes of their names");
    assert_eq!(catalog.cloud(&CloudId::random()).await.unwrap(), None);
    assert_eq!(catalog.cloud_by_name(&CloudName::new("DEMO").unwrap()).await.unwrap(), None, "case matters");
}

async fn what_is_unique_stays_so(catalog: &dyn Catalog) {
    let cloud = Cloud::new(CloudName::new("unique").unwrap());
    let key = ApiKey::random(cloud.id.clone());
    catalog.create_cloud(&cloud, &key).await.unwrap();

    let same_name = Cloud::new(cloud.name.clone());
    let refused = catalog.create_cloud(&same_name, &ApiKey::random(same_name.id.clone())).await;
    assert!(matches!(refused, Err(CatalogError::Conflict("the cloud name"))), "{refused:?}");

    let same_id = Cloud { name: CloudName::new("unique2").unwrap(), ..cloud.clone() };
    let refused = catalog.create_cloud(&same_id, &ApiKey::random(cloud.id.clone())).await;
    assert!(matches!(refused, Err(CatalogError::Conflict("the cloud id"))), "{refused:?}");

    let same_key = Cloud::new(CloudName::new("unique3").unwrap());
    let refused = catalog.create_cloud(&same_key, &ApiKey { cloud: same_key.id.clone(), ..key.clone() }).await;
    assert!(matches!(refused, Err(CatalogError::Conflict("the API key"))), "{refused:?}");
    assert_eq!(catalog.cloud(&same_key.id).await.unwrap(), None, "a refused key takes the cloud with it");

    let foreign = Cloud::new(CloudName::new("unique4").unwrap());
    let refused = catalog.create_cloud(&foreign, &ApiKey::random(cloud.id.clone())).await;
    assert!(matches!(refused, Err(CatalogError::Invalid { .. })), "{refused:?}");
    assert_eq!(catalog.cloud(&foreign.id).await.unwrap(), None);

    let refused = catalog.add_api_key(&key).await;
    assert!(matches!(refused, Err(CatalogError::Conflict("the API key"))), "{refused:?}");
    let refused = catalog.add_api_key(&ApiKey::random(CloudId::random())).await;
    assert!(matches!(refused, Err(CatalogError::NotFound("the cloud"))), "{refused:?}");
    assert_eq!(catalog.api_keys(&cloud.id).await.unwrap(), [key]);
}

async fn keys_are_found_and_ordered(catalog: &dyn Catalog) {
    let cloud = new_cloud(catalog, "keys").await;
    let first = catalog.api_keys(&cloud).await.unwrap().remove(0);
    let mut keys = vec![first.clone()];
    for (name, offset, enabled) in [("zz", 1, true), ("AA", 2, false), ("aa", 2, true), ("older", -5, true)] {
        let created_at = Timestamp::from_unix_micros(first.created_at.unix_micros() + offset);
        let secret = Secret::new(format!("gehëim-{name}"));
        let key = ApiKey { key: name.to_owned(), secret, cloud: cloud.clone(), enabled, created_at };
        catalog.add_api_key(&key).await.unwrap();
        let found = catalog.api_key(name).await.unwrap().unwrap();
        assert_eq!(found.secret.expose(), key.secret.expose(), "a secret can be read again");
        assert_eq!(found, key);
        keys.push(key);
    }
    keys.sort_by(|a, b| (a.created_at, &a.key).cmp(&(b.created_at, &b.key)));
    assert_eq!(catalog.api_keys(&cloud).await.unwrap(), keys, "oldest first");
    assert_eq!(catalog.api_keys(&CloudId::random()).await.unwrap(), []);
    for missing in ["", "ZZ", "zz ", "z", "z\0z", "' OR 1=1 --"] {
        assert_eq!(catalog.api_key(missing).await.unwrap(), None, "{missing:?}");
    }
    let with_nul = ApiKey { key: "a\0b".to_owned(), ..ApiKey::random(cloud.clone()) };
    assert!(matches!(catalog.add_api_key(&with_nul).await, Err(CatalogError::Invalid { .. })));
}
