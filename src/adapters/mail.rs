//! Mail: one plain text to one receiver, through the server that the operator names (SMTP, RFC 5321).

use std::time::{Duration, SystemTime};

use lettre::address::Envelope;
use lettre::message::{Mailbox, header::ContentType};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::{AsyncSmtpTransport, Error as SmtpError};
use lettre::{AsyncTransport, Message, Tokio1Executor};

use crate::config::{Mail, SmtpTls};
use crate::error::{Error, ErrorKind, Result};

/// A mail's own part.
#[derive(Debug)]
pub struct Letter<'a> {
    /// What makes the message's id, so that one that is sent twice is known as such.
    pub id: &'a str,
    /// One line.
    pub subject: &'a str,
    /// The text.
    pub text: &'a str,
}

/// Sends a letter to one of the receivers: one that the server refuses keeps none of the others from theirs.
///
/// # Errors
/// The server cannot be reached in time, or refuses the login, the sender or the receiver.
pub async fn send(mail: &Mail, to: &str, letter: &Letter<'_>) -> Result<()> {
    let doing = format!("cannot mail {to} through {}", mail.host);
    let (envelope, message) = message(mail, to, letter)?;
    let transport = transport(mail)?;
    within(mail.timeout, &doing, transport.send_raw(&envelope, &message.formatted())).await.map(|_| ())
}

/// Says hello and goodbye to the server, with the login where there is one. Sends nothing.
///
/// # Errors
/// As [`send`], and an address is none.
pub async fn check(mail: &Mail) -> Result<()> {
    let nothing = Letter { id: "check", subject: "", text: "" };
    for to in &mail.to {
        message(mail, to, &nothing)?;
    }
    let doing = format!("cannot use the mail server {}:{}", mail.host, mail.port);
    let transport = transport(mail)?;
    if within(mail.timeout, &doing, transport.test_connection()).await? {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Unavailable, format!("{doing}: it does not answer a NOOP")))
}

async fn within<T>(
    limit: Duration,
    doing: &str,
    work: impl Future<Output = Result<T, SmtpError>>,
) -> Result<T> {
    match tokio::time::timeout(limit, work).await {
        Ok(result) => result.map_err(|error| failed(doing, error)),
        Err(_) => Err(Error::new(ErrorKind::Timeout, format!("{doing}: no answer in {limit:?}"))
            .hint("check SMTP_HOST, SMTP_PORT and SMTP_TLS")),
    }
}

fn transport(mail: &Mail) -> Result<AsyncSmtpTransport<Tokio1Executor>> {
    let parameters = || {
        TlsParameters::new(mail.host.clone())
            .map_err(|error| failed(&format!("cannot speak TLS with {}", mail.host), error))
    };
    let tls = match mail.tls {
        SmtpTls::StartTls => Tls::Required(parameters()?),
        SmtpTls::Tls => Tls::Wrapper(parameters()?),
        SmtpTls::None => Tls::None,
    };
    let own_name = gethostname::gethostname().to_string_lossy().into_owned();
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&mail.host)
        .port(mail.port)
        .tls(tls)
        .hello_name(ClientId::Domain(own_name))
        .timeout(Some(mail.timeout));
    if let Some((name, password)) = &mail.login {
        builder = builder.credentials(Credentials::new(name.clone(), password.expose().to_owned()));
    }
    Ok(builder.build())
}

fn message(mail: &Mail, to: &str, letter: &Letter<'_>) -> Result<(Envelope, Message)> {
    let from = mailbox("MAIL_FROM", &mail.from)?;
    let receiver = mailbox("MAIL_TO", to)?;
    let cannot =
        |error: lettre::error::Error| Error::new(ErrorKind::Internal, "cannot write a mail").because(error);
    let envelope = Envelope::new(Some(from.email.clone()), vec![receiver.email.clone()]).map_err(cannot)?;
    let id = format!("<{}@{}>", letter.id, from.email.domain());
    let mut builder =
        Message::builder().from(from).date(SystemTime::now()).message_id(Some(id)).subject(letter.subject);
    // Each sees who else was told, as in any mail.
    for other in &mail.to {
        builder = builder.to(mailbox("MAIL_TO", other)?);
    }
    let message = builder.header(ContentType::TEXT_PLAIN).body(letter.text.to_owned()).map_err(cannot)?;
    Ok((envelope, message))
}

fn mailbox(variable: &str, text: &str) -> Result<Mailbox> {
    text.parse().map_err(|error: lettre::address::AddressError| {
        Error::new(ErrorKind::Configuration, format!("{variable}: {text:?} is not an address"))
            .hint("write someone@example.net")
            .because(error)
    })
}

/// Whether another try can help is the server's to say: 4yz is for now, 5yz for good (RFC 5321, 4.2.1).
fn failed(doing: &str, error: SmtpError) -> Error {
    let is_login = error.status().is_some_and(|code| matches!(u16::from(code), 530 | 534 | 535));
    let (kind, hint) = if error.is_permanent() && is_login {
        (ErrorKind::Rejected, "check SMTP_USERNAME and SMTP_PASSWORD")
    } else if error.is_permanent() {
        (ErrorKind::Rejected, "check MAIL_FROM and MAIL_TO, and what the server lets this sender do")
    } else if error.is_transient() {
        (ErrorKind::Unavailable, "the server asks for another try later")
    } else if error.is_timeout() {
        (ErrorKind::Timeout, "check SMTP_HOST, SMTP_PORT and SMTP_TLS")
    } else if is_of_the_certificate(&error) {
        (
            ErrorKind::Connection,
            "is its certificate for the name in SMTP_HOST, and of an authority that this system knows?",
        )
    } else if error.is_client() {
        (ErrorKind::Rejected, "does the server offer what SMTP_TLS and SMTP_USERNAME ask for?")
    } else {
        (ErrorKind::Connection, "check SMTP_HOST, SMTP_PORT and SMTP_TLS")
    };
    Error::new(kind, doing).hint(hint).because(error)
}

/// Whether the server's certificate is what is wrong: rustls says it inside an I/O error.
fn is_of_the_certificate(error: &SmtpError) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let of_tls = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>());
        if matches!(of_tls, Some(rustls::Error::InvalidCertificate(_))) {
            return true;
        }
        cause = error.source();
    }
    false
}
