//! The web process: health for the platform, and for those who have a token the dashboard and the metrics. It reads; only operators can
//! have it act on the queues, with a second token.
//!
//! The pages are written on the server from templates that escape by default. No script, nothing from elsewhere.

mod chart;
mod door;
mod form;
mod frame;
mod now;
mod pages;
mod readiness;
mod shown;

mod metrics;

use std::sync::Arc;

use actix_web::body::BoxBody;
use actix_web::dev::{Server, ServiceRequest, ServiceResponse};
use actix_web::http::{Method, header};
use actix_web::middleware::{Next, from_fn};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, route, web};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::adapters::ledger::LedgerReader;
use crate::adapters::postgres::Database;
use crate::config::{Access, Config};
use crate::error::{Error, ErrorKind, Result};

/// How long open requests may take once the process is asked to stop, in seconds.
const TIME_TO_STOP: u64 = 5;
/// How many connections are held at once: a process may have 1,024 files open, and needs some for the warehouse and the queue.
const MOST_CONNECTIONS: usize = 512;

/// What the pages are made of.
#[derive(Debug)]
pub struct House {
    config: Config,
    door: door::Door,
    ledger: Arc<LedgerReader>,
    lookout: now::Lookout,
    readiness: readiness::Readiness,
    style: frame::Style,
}

impl House {
    /// All that there is to see of this warehouse, for those whom `access` lets in. Nothing is reached yet.
    ///
    /// # Errors
    /// The warehouse's URL has parameters that the driver does not understand.
    pub fn new(config: Config, access: Access) -> Result<Self> {
        let warehouse = Database::new(&config.databases.warehouse, "warehouse")?;
        let ledger = Arc::new(LedgerReader::new(warehouse, "nightferry web"));
        Ok(Self {
            lookout: now::Lookout::new(&config, ledger.clone()),
            config,
            door: door::Door::new(access),
            ledger,
            readiness: readiness::Readiness::default(),
            style: frame::Style::new(),
        })
    }
}

/// A web server that has its port and does not answer yet.
pub struct Site {
    server: Server,
    port: u16,
}

impl Site {
    /// Takes the port; 0 takes a free one. Without a house it answers health checks alone. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// The port is taken or may not be used.
    pub fn bind(host: &str, port: u16, house: Option<House>) -> Result<Self> {
        let doing = |error: std::io::Error| {
            Error::new(ErrorKind::Configuration, format!("cannot listen on port {port}"))
                .hint("is another process listening there? Set PORT to a free one")
                .because(error)
        };
        let house = house.map(web::Data::new);
        let app = move || {
            let house = house.clone();
            App::new().service(health).configure(|app| rooms(app, house))
        };
        let http = HttpServer::new(app)
            .workers(1)
            .max_connections(MOST_CONNECTIONS)
            .disable_signals()
            .shutdown_timeout(TIME_TO_STOP)
            .bind((host, port))
            .map_err(doing)?;
        let port = http.addrs().first().map_or(port, std::net::SocketAddr::port);
        Ok(Self { server: http.run(), port })
    }

    /// The port it has.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Answers requests until `stop` is cancelled; those that are open then are ended first.
    ///
    /// # Errors
    /// The server breaks.
    pub async fn run_until(self, stop: CancellationToken) -> Result<()> {
        let handle = self.server.handle();
        let stopping = async {
            stop.cancelled().await;
            handle.stop(true).await;
        };
        let serving = self.server;
        tokio::pin!(serving, stopping);
        let ended = tokio::select! {
            ended = &mut serving => ended,
            () = &mut stopping => serving.await,
        };
        ended.map_err(|error| Error::new(ErrorKind::Internal, "the web server broke").because(error))
    }
}

impl std::fmt::Debug for Site {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Site").field("port", &self.port).finish_non_exhaustive()
    }
}

/// What there is beside the health. Behind the door is everything that nobody is told of who has no token.
fn rooms(app: &mut web::ServiceConfig, house: Option<web::Data<House>>) {
    let Some(house) = house else {
        app.service(index);
        return;
    };
    let style = house.style;
    let behind_the_door = web::scope("")
        .wrap(from_fn(door::guard))
        .configure(pages::register)
        .default_service(web::to(pages::nothing));
    let open = web::scope("")
        .wrap(from_fn(head_as_get))
        .wrap(frame::headers())
        .service(index)
        .service(readiness::ready)
        .service(door::sign_in_form)
        .service(door::sign_in)
        .service(door::sign_out)
        .route(style.path, web::get().to(move || async move { style.answer() }))
        .route("/icon.svg", web::get().to(frame::icon))
        .service(behind_the_door);
    app.app_data(house).configure(form::register).service(open);
}

/// Whoever asks for the head alone (RFC 9110, 9.3.2) gets that of the whole answer; the server itself leaves the body out.
async fn head_as_get(
    mut request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    if *request.method() == Method::HEAD {
        request.head_mut().method = Method::GET;
    }
    next.call(request).await
}

/// Which program this is; people who may see more are led there.
#[route("/", method = "GET", method = "HEAD")]
async fn index(request: HttpRequest) -> HttpResponse {
    if request.app_data::<web::Data<House>>().is_some() && door::wants_page(&request) {
        return HttpResponse::SeeOther().insert_header((header::LOCATION, "/nights")).finish();
    }
    HttpResponse::Ok().json(json!({ "name": "nightferry", "version": env!("CARGO_PKG_VERSION") }))
}

#[route("/health", method = "GET", method = "HEAD")]
async fn health() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "ok" }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    async fn get(port: u16, path: &str) -> String {
        ask(port, "GET", path).await
    }

    async fn ask(port: u16, method: &str, path: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn it_answers_on_a_port_of_its_own_until_it_is_stopped() {
        let site = Site::bind("127.0.0.1", 0, None).unwrap();
        let port = site.port();
        let stop = CancellationToken::new();
        let serving = tokio::spawn(site.run_until(stop.clone()));
        assert!(get(port, "/").await.starts_with("HTTP/1.1 200 OK"));
        assert!(get(port, "/health").await.ends_with(r#"{"status":"ok"}"#));
        for path in ["/", "/health"] {
            let answer = ask(port, "HEAD", path).await;
            assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("\r\n\r\n"), "{answer}");
        }
        for path in ["/other", "/ready", "/login", "/nights", "/metrics"] {
            assert!(get(port, path).await.starts_with("HTTP/1.1 404"), "{path}");
        }
        stop.cancel();
        serving.await.unwrap().unwrap();
        assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err());
    }

    #[tokio::test]
    async fn a_taken_port_is_an_error_that_names_it() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = Site::bind("127.0.0.1", port, None).unwrap_err();
        assert!(error.to_string().contains(&format!("port {port}")), "{error}");
        assert!(error.operator_hint().unwrap().contains("PORT"));
    }
}
