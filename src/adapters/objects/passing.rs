//! Our errors on their way through readers, which only know those of `std::io`.

use std::io;

use crate::error::{Error, ErrorKind};

/// Packs an error, so that a reader can give it.
#[must_use]
pub fn into_io(error: Error) -> io::Error {
    io::Error::other(error)
}

/// Takes an error out again that [`into_io`] packed; `doing` is said of any other one.
#[must_use]
pub fn from_io(error: io::Error, doing: &str) -> Error {
    match error.downcast::<Error>() {
        Ok(ours) => ours,
        Err(other) => Error::new(ErrorKind::Internal, doing).because(other),
    }
}

/// Whether [`into_io`] packed it.
pub(super) fn is_ours(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Error>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_comes_out_as_it_went_in() {
        let packed = into_io(Error::new(ErrorKind::Data, "it is cut").hint("again"));
        assert!(is_ours(&packed));
        let error = from_io(packed, "reading");
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Data, "it is cut"));
        assert_eq!(error.operator_hint(), Some("again"));
        let error = from_io(io::Error::from(io::ErrorKind::UnexpectedEof), "reading");
        assert_eq!(error.to_string(), "reading: unexpected end of file");
    }
}
