use std::sync::Arc;

use crate::conformance::{ACME, GLOBEX};
use crate::{BLOB_BYTES_MAX, BlobError, BlobName, BlobStore, Blobs, Hold, MemoryVault, TenantKeys};

#[tokio::test]
async fn content_is_named_by_its_tenant_and_itself() {
    let vault = Arc::new(MemoryVault::default());
    let store = BlobStore::new(vault.clone());
    let acme = TenantKeys::new(ACME, &[1; 32].into());
    let globex = TenantKeys::new(GLOBEX, &[2; 32].into());

    let hold = Hold::random();
    let name = store.put(&acme, b"a long text", hold).await.unwrap();
    assert_eq!(store.put(&acme, b"a long text", hold).await.unwrap(), name);
    assert_eq!(name.length, 11);
    assert_ne!(store.put(&globex, b"a long text", hold).await.unwrap().hash, name.hash);
    assert_eq!(store.get(&acme, name).await.unwrap().unwrap(), b"a long text");
    assert_eq!(store.get(&globex, name).await.unwrap(), None);
    let other = BlobName { length: 12, ..name };
    assert_eq!(store.get(&acme, other).await.unwrap(), None);

    let stored = vault.get(ACME, name).await.unwrap().unwrap();
    assert!(!stored.windows(6).any(|it| it == b"a long"), "it is stored sealed");
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let store = BlobStore::new(Arc::new(MemoryVault::default()));
    let keys = TenantKeys::new(ACME, &[1; 32].into());
    store.put(&keys, &vec![0; BLOB_BYTES_MAX], Hold::random()).await.unwrap();
    let refused = store.put(&keys, &vec![0; BLOB_BYTES_MAX + 1], Hold::random()).await;
    assert!(matches!(refused, Err(BlobError::TooLarge(it)) if it == BLOB_BYTES_MAX + 1));
}

#[tokio::test]
async fn damaged_content_is_named() {
    let vault = Arc::new(MemoryVault::default());
    let keys = TenantKeys::new(ACME, &[1; 32].into());
    let name = keys.blob_name(b"a long text");
    let mut sealed = keys.seal_blob(name, b"a long text");
    sealed[20] ^= 1;
    vault.put(ACME, name, sealed.into(), Hold::random()).await.unwrap();
    let read = BlobStore::new(vault).get(&keys, name).await;
    assert!(matches!(read, Err(BlobError::Damaged(it)) if it == name));
}
