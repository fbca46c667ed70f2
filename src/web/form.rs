//! What people send: forms and the questions in a URL. What cannot be read is answered with a page, as everything else is.

use std::ops::Deref;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::error::InternalError;
use actix_web::http::StatusCode;
use actix_web::{FromRequest, HttpMessage, HttpRequest, ResponseError, web};
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use serde::de::DeserializeOwned;

use super::House;
use super::door::Visitor;
use super::frame::{Frame, Trouble};

/// A form is a few words; the server itself waits as long for the head of a request, and without end for its body.
const LIMIT: Duration = Duration::from_secs(5);

/// A form that came whole and in time: who sends half of one holds no connection.
pub(super) struct Form<T>(T);

impl<T> Deref for Form<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: DeserializeOwned + 'static> FromRequest for Form<T> {
    type Error = actix_web::Error;
    type Future = LocalBoxFuture<'static, Result<Self, Self::Error>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let reading = web::Form::<T>::from_request(request, payload);
        let request = request.clone();
        async move {
            match tokio::time::timeout(LIMIT, reading).await {
                Ok(form) => form.map(|form| Self(form.into_inner())),
                Err(_) => {
                    let late = format!("The form did not arrive in {} s.", LIMIT.as_secs());
                    Err(refused(&request, late, StatusCode::REQUEST_TIMEOUT))
                }
            }
        }
        .boxed_local()
    }
}

/// How forms and URLs that cannot be read are answered.
pub(super) fn register(app: &mut web::ServiceConfig) {
    let form = web::FormConfig::default().error_handler(|error, request| {
        refused(request, format!("The form cannot be read: {error}."), error.status_code())
    });
    let query = web::QueryConfig::default().error_handler(|error, request| {
        refused(request, format!("The URL cannot be read: {error}."), error.status_code())
    });
    app.app_data(form).app_data(query);
}

fn refused(request: &HttpRequest, sentence: String, status: StatusCode) -> actix_web::Error {
    let Some(house) = request.app_data::<web::Data<House>>() else {
        return InternalError::new(sentence, status).into();
    };
    let role = request.extensions().get::<Visitor>().map(|visitor| visitor.role);
    let page = Trouble::new(sentence.clone()).page(Frame::new(house, role, "Not understood", ""), status);
    InternalError::from_response(sentence, page).into()
}
