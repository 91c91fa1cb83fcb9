//! How a serving process is asked to stop.

use tokio_util::sync::CancellationToken;

/// The first signal shuts the worker down, the second one does so without waiting.
pub(crate) async fn cancel_on_signal(shutdown: CancellationToken) {
    if let Err(error) = signal().await {
        tracing::error!("signals cannot be received: {error}");
        return;
    }
    shutdown.cancel();
    if signal().await.is_ok() {
        std::process::exit(130);
    }
}

#[cfg(unix)]
async fn signal() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result,
        _ = terminate.recv() => Ok(()),
    }
}

#[cfg(not(unix))]
async fn signal() -> std::io::Result<()> {
    tokio::signal::ctrl_c().await
}
