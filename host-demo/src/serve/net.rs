//! Connections: how many, how long a client may take to ask, and the end of the server.

use super::App;
use anyhow::Context;
use axum::Router;
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::net::{IpAddr, SocketAddr};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot};

/// connections at the same time; further ones wait
const CONNECTIONS: usize = 512;
/// time for the head of a request
const HEAD: Duration = Duration::from_secs(20);
/// time for requests under way when the server ends
const END: Duration = Duration::from_secs(3);
/// pause between two looks at idle sessions
const TIDY: Duration = Duration::from_secs(20);

/// Takes the port.
pub async fn listen(host: IpAddr, port: u16) -> anyhow::Result<TcpListener> {
    let busy = || format!("cannot listen on {}; --port chooses another port", SocketAddr::new(host, port));
    TcpListener::bind((host, port)).await.with_context(busy)
}

/// The address of the page.
pub fn address(listener: &TcpListener, token: Option<&str>) -> anyhow::Result<String> {
    let address = listener.local_addr()?;
    Ok(match token {
        Some(token) => format!("http://{address}/?token={token}"),
        None => format!("http://{address}/"),
    })
}

/// Opens the address in the user's browser.
pub fn browse(address: &str) -> bool {
    let (program, first): (&str, &[&str]) = match std::env::consts::OS {
        "macos" => ("open", &[]),
        "windows" => ("cmd", &["/C", "start", ""]),
        _ => ("xdg-open", &[]),
    };
    let browser = std::env::var("BROWSER").ok().filter(|browser| !browser.is_empty());
    let mut command = Command::new(browser.as_deref().unwrap_or(program));
    if browser.is_none() {
        command.args(first);
    }
    command.arg(address).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().is_ok()
}

/// Serves until a signal comes.
pub async fn serve(listener: TcpListener, router: Router, app: App) -> anyhow::Result<()> {
    let mut end = signal()?;
    let tidying = tokio::spawn(tidy(app));
    let (graceful, places) = (GracefulShutdown::new(), Arc::new(Semaphore::new(CONNECTIONS)));
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            _ = &mut end => break,
        };
        let Ok((stream, place)) = accepted else {
            tokio::time::sleep(Duration::from_millis(50)).await; // no more file handles, say
            continue;
        };
        let _ = stream.set_nodelay(true);
        let mut builder = Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD);
        let service = TowerToHyperService::new(router.clone());
        let connection = graceful.watch(builder.serve_connection(TokioIo::new(stream), service).into_owned());
        tokio::spawn(async move {
            let _ = connection.await; // a client that goes away is no error
            drop(place);
        });
    }
    drop(listener);
    tidying.abort();
    let _ = tokio::time::timeout(END, graceful.shutdown()).await; // what still runs ends with the program
    Ok(())
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> anyhow::Result<(tokio::net::TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await?;
    Ok((listener.accept().await?.0, place))
}

async fn tidy(app: App) {
    loop {
        tokio::time::sleep(TIDY).await;
        let app = app.clone();
        let _ = tokio::task::spawn_blocking(move || app.store.tidy()).await;
    }
}

/// Ctrl-C and what else ends a program from outside.
fn signal() -> anyhow::Result<oneshot::Receiver<()>> {
    let heard = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|&signal| !crate::observer::is_ignored(signal));
    let mut signals = Signals::new(heard).context("cannot listen to signals")?;
    let (sender, receiver) = oneshot::channel();
    std::thread::spawn(move || {
        let mut sender = Some(sender);
        for _ in signals.forever() {
            match sender.take() {
                Some(sender) => drop(sender.send(())),
                None => crate::exit::at_once(crate::exit::CANCELLED),
            }
        }
    });
    Ok(receiver)
}
