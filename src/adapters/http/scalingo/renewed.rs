//! Something that a server takes for a while only, and that is got again when it no longer does.

use std::sync::Arc;

use tokio::sync::Mutex;

use crate::error::Result;

/// A token or a link, shared by tasks: when several find out at once that it has expired, one of them gets the next.
#[derive(Debug)]
pub(super) struct Renewed<T>(Mutex<Option<Arc<T>>>);

impl<T> Default for Renewed<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T> Renewed<T> {
    /// The one there is; `get` brings the next where there is none, or where it is still the one that was `refused`.
    pub(super) async fn value(
        &self,
        refused: Option<&Arc<T>>,
        get: impl Future<Output = Result<T>>,
    ) -> Result<Arc<T>> {
        let mut held = self.0.lock().await;
        match &*held {
            Some(value) if !refused.is_some_and(|refused| Arc::ptr_eq(value, refused)) => Ok(value.clone()),
            _ => Ok(held.insert(Arc::new(get.await?)).clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_several_found_expired_is_renewed_once() {
        let renewed = Renewed::default();
        let first = renewed.value(None, async { Ok("first") }).await.unwrap();
        let next = renewed.value(Some(&first), async { Ok("second") }).await.unwrap();
        let of_the_late_one = renewed.value(Some(&first), async { Ok("third") }).await.unwrap();
        assert_eq!((*first, *next, *of_the_late_one), ("first", "second", "second"));
        let kept = renewed.value(None, async { Ok("fourth") }).await.unwrap();
        assert_eq!(*kept, "second");
    }
}
