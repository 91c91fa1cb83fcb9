//! An S3 server of a test: protocol and signatures by `s3s`, objects in memory, conditional writes that are atomic as S3's are.

use std::collections::BTreeMap;
use std::net::TcpListener as StdListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use futures_util::TryStreamExt;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::dto::{
    ETag, GetObjectInput, GetObjectOutput, ListObjectsV2Input, ListObjectsV2Output, Object,
    PutObjectInput, PutObjectOutput, StreamingBlob, Timestamp,
};
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{Body, S3, S3Request, S3Response, S3Result, s3_error};
use tokio::net::TcpListener;

/// As many as S3 lists at once.
const KEYS_MAX: usize = 1000;
const BUCKET: &str = "definitions";

/// Runs until the test process ends.
pub struct S3Server {
    pub environment: Vec<(&'static str, String)>,
    is_reachable: Arc<AtomicBool>,
    objects: Objects,
}

type Objects = Arc<Mutex<BTreeMap<String, Bytes>>>;

struct Bucket(Objects);

impl S3Server {
    pub fn start() -> S3Server {
        let listener = StdListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let objects = Objects::default();
        let mut service = S3ServiceBuilder::new(Bucket(objects.clone()));
        service.set_auth(SimpleAuth::from_single("test", "test-secret"));
        let service = service.build();
        let is_reachable = Arc::new(AtomicBool::new(true));
        let answers = is_reachable.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime
                .unwrap()
                .block_on(listen(listener, service, answers));
        });
        let environment = vec![
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "test-secret".to_owned()),
            ("AWS_REGION", "eu-central-1".to_owned()),
            ("AWS_ENDPOINT_URL", format!("http://{address}")),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
        ];
        S3Server {
            environment,
            is_reachable,
            objects,
        }
    }

    pub fn url(&self, prefix: &str) -> String {
        format!("s3://{BUCKET}/{prefix}")
    }

    /// Where it is not, every connection is cut.
    pub fn set_reachable(&self, is_reachable: bool) {
        self.is_reachable.store(is_reachable, Ordering::SeqCst);
    }

    pub fn keys(&self) -> Vec<String> {
        self.objects.lock().unwrap().keys().cloned().collect()
    }
}

async fn listen(listener: StdListener, service: S3Service, answers: Arc<AtomicBool>) {
    let listener = TcpListener::from_std(listener).unwrap();
    loop {
        let (connection, _) = listener.accept().await.unwrap();
        let (service, answers) = (service.clone(), answers.clone());
        let answer = service_fn(move |request: hyper::Request<Incoming>| {
            let (service, answers) = (service.clone(), answers.clone());
            async move {
                match answers.load(Ordering::SeqCst) {
                    true => service
                        .call(request.map(Body::from))
                        .await
                        .map_err(|e| format!("{e:?}")),
                    false => Err("out of reach".to_owned()),
                }
            }
        });
        tokio::spawn(async move {
            let server = hyper::server::conn::http1::Builder::new();
            // A caller that was killed is no failure of the server.
            let _ = server
                .serve_connection(TokioIo::new(connection), answer)
                .await;
        });
    }
}

#[async_trait::async_trait]
impl S3 for Bucket {
    async fn put_object(
        &self,
        request: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        let input = request.input;
        let body = input.body.ok_or_else(|| s3_error!(IncompleteBody))?;
        let chunks: Vec<Bytes> = body
            .try_collect()
            .await
            .map_err(|_| s3_error!(IncompleteBody))?;
        let mut objects = self.0.lock().unwrap();
        let is_new = input
            .if_none_match
            .is_some_and(|condition| condition.is_any());
        if is_new && objects.contains_key(&input.key) {
            return Err(s3_error!(PreconditionFailed));
        }
        objects.insert(input.key, chunks.concat().into());
        Ok(S3Response::new(PutObjectOutput {
            e_tag: Some(ETag::Strong("one".to_owned())),
            ..PutObjectOutput::default()
        }))
    }

    async fn get_object(
        &self,
        request: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        let object = self.0.lock().unwrap().get(&request.input.key).cloned();
        let object = object.ok_or_else(|| s3_error!(NoSuchKey))?;
        let length = object.len() as i64;
        Ok(S3Response::new(GetObjectOutput {
            body: Some(StreamingBlob::from(Body::from(object))),
            content_length: Some(length),
            e_tag: Some(ETag::Strong("one".to_owned())),
            last_modified: Some(Timestamp::from(SystemTime::now())),
            ..GetObjectOutput::default()
        }))
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = request.input;
        let prefix = input.prefix.unwrap_or_default();
        let after = input.continuation_token.or(input.start_after);
        let objects = self.0.lock().unwrap();
        let mut found = objects
            .iter()
            .filter(|(key, _)| key.starts_with(&prefix))
            .filter(|(key, _)| after.as_ref().is_none_or(|after| *key > after));
        let page: Vec<_> = found.by_ref().take(KEYS_MAX).collect();
        let is_truncated = found.next().is_some();
        let last = page.last().map(|(key, _)| (*key).clone());
        let contents = page.into_iter().map(|(key, object)| Object {
            key: Some(key.clone()),
            size: Some(object.len() as i64),
            last_modified: Some(Timestamp::from(SystemTime::now())),
            ..Object::default()
        });
        Ok(S3Response::new(ListObjectsV2Output {
            contents: Some(contents.collect()),
            is_truncated: Some(is_truncated),
            next_continuation_token: last.filter(|_| is_truncated),
            ..ListObjectsV2Output::default()
        }))
    }
}
