//! The clients of the places where a registry may be.

use std::sync::Arc;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::{Error, ObjectStore, RetryConfig};
use url::Url;

use super::{RETRIES, RETRY_TIMEOUT};

pub(crate) fn folder(url: &Url) -> Result<Arc<dyn ObjectStore>, String> {
    let path = url.to_file_path().map_err(|()| {
        "a file URL must have three slashes and no host: file:///folder".to_owned()
    })?;
    std::fs::create_dir_all(&path).map_err(|e| e.to_string())?;
    let objects = LocalFileSystem::new_with_prefix(path).map_err(|e| e.to_string())?;
    Ok(Arc::new(objects))
}

pub(crate) fn bucket(scheme: &str, url: &str) -> Result<Arc<dyn ObjectStore>, String> {
    // The client must be given a cryptography provider; another part of the process may have done so before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let retry = RetryConfig {
        max_retries: RETRIES,
        retry_timeout: RETRY_TIMEOUT,
        ..RetryConfig::default()
    };
    let text = |error: Error| error.to_string();
    Ok(match scheme {
        "s3" => {
            let builder = AmazonS3Builder::from_env().with_url(url);
            Arc::new(builder.with_retry(retry).build().map_err(text)?)
        }
        "gs" => {
            let builder = GoogleCloudStorageBuilder::from_env().with_url(url);
            Arc::new(builder.with_retry(retry).build().map_err(text)?)
        }
        "az" => {
            let builder = MicrosoftAzureBuilder::from_env().with_url(url);
            Arc::new(builder.with_retry(retry).build().map_err(text)?)
        }
        _ => return Err("expected a URL that begins with file:, s3:, gs: or az:".to_owned()),
    })
}
