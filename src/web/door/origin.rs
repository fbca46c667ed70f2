//! Whether a form was sent by a page of ours (pure): another page may make a browser send one, and with it the cookie.

/// What a browser says of the page that sends a request (Fetch Metadata; Fetch, 3.2).
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sender<'a> {
    /// `Sec-Fetch-Site`: sent over TLS only, and no page can change it.
    pub(super) site: Option<&'a str>,
    /// `Origin`.
    pub(super) origin: Option<&'a str>,
    /// `Host`.
    pub(super) host: Option<&'a str>,
}

impl Sender<'_> {
    /// Whether it is a page of ours, as far as is known; none where it is no browser, or a very old one.
    pub(super) fn is_ours(self) -> Option<bool> {
        if let Some(site) = self.site {
            return Some(matches!(site, "same-origin" | "none"));
        }
        let origin = self.origin?;
        let host = origin.split_once("://").map(|(_, host)| host);
        Some(host.is_some() && host == self.host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_browser_vouches_for_counts_before_anything_else() {
        let sender = Sender {
            site: Some("same-origin"),
            origin: Some("https://night.example"),
            host: Some("10.0.0.1"),
        };
        assert_eq!(sender.is_ours(), Some(true), "a proxy may change the host");
        for site in ["cross-site", "same-site", ""] {
            assert_eq!(Sender { site: Some(site), ..sender }.is_ours(), Some(false), "{site}");
        }
    }

    #[test]
    fn without_it_the_origin_must_be_the_host() {
        let of = |origin| Sender { site: None, origin, host: Some("night.example:8080") }.is_ours();
        assert_eq!(of(Some("http://night.example:8080")), Some(true));
        for other in ["http://night.example", "https://evil.example", "null", "", "night.example:8080"] {
            assert_eq!(of(Some(other)), Some(false), "{other}");
        }
        assert_eq!(of(None), None);
        assert_eq!(Sender { origin: Some("http://x"), ..Sender::default() }.is_ours(), Some(false));
    }
}
