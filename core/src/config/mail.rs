//! The hook that sends mails.

use url::Url;

use super::endpoints::endpoint;
use super::values::{ConfigError, Secret, signing_key};

/// An HTTP endpoint of the operator that sends mails.
#[derive(Clone, Debug)]
pub struct MailConfig {
    /// `CAIRN_MAIL_HOOK_URL`
    pub url: Url,
    /// `CAIRN_MAIL_HOOK_SECRET`: the key with which requests are signed.
    pub secret: Secret,
}

/// Reads the `CAIRN_MAIL_` keys. Returns `None` if there is no hook, so that no mails are sent.
pub(super) fn read<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Result<Option<MailConfig>, ConfigError> {
    let secret = signing_key(get("CAIRN_MAIL_HOOK_SECRET"), "CAIRN_MAIL_HOOK_SECRET")?;
    match (get("CAIRN_MAIL_HOOK_URL"), secret) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(ConfigError::new("CAIRN_MAIL_HOOK_SECRET is set, but CAIRN_MAIL_HOOK_URL is not")),
        (Some(_), None) => Err(ConfigError::new(
            "CAIRN_MAIL_HOOK_SECRET is not set: generate one with `openssl rand -base64 48`, and give it to the hook",
        )),
        (Some(url), Some(secret)) => {
            let url = endpoint(url, "CAIRN_MAIL_HOOK_URL", "https://mail.example.com/cairn")?;
            Ok(Some(MailConfig { url, secret }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const SECRET: &str = "dGhlIG1haWwgaG9vayBvZiB0ZXN0cywgZ3VhcmRzIG5vdGhpbmc=";

    fn read(url: &str, secret: &str) -> Result<Option<MailConfig>, String> {
        let pairs = [("CAIRN_MAIL_HOOK_URL", url), ("CAIRN_MAIL_HOOK_SECRET", secret)];
        let values = pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        Config::from_values(&values).map(|config| config.mail).map_err(|error| error.to_string())
    }

    #[test]
    fn a_hook_needs_an_address_that_keeps_tokens_secret_and_a_key() {
        assert!(read("", "").unwrap().is_none());
        assert_eq!(read("https://mail.example.com/cairn", SECRET).unwrap().unwrap().url.path(), "/cairn");
        assert!(read("http://127.0.0.1:9000/", SECRET).is_ok() && read("http://mailer:9000/", SECRET).is_ok());
        for (url, secret, says) in [
            ("", SECRET, "CAIRN_MAIL_HOOK_URL is not"),
            ("https://mail.example.com/", "", "CAIRN_MAIL_HOOK_SECRET is not set"),
            ("https://mail.example.com/", "short", "CAIRN_MAIL_HOOK_SECRET is shorter"),
            ("http://mail.example.com/", SECRET, "CAIRN_MAIL_HOOK_URL uses http"),
            ("ftp://mail.example.com/", SECRET, "neither https"),
        ] {
            let error = read(url, secret).unwrap_err();
            assert!(error.contains(says) && !error.contains(SECRET), "{error}");
        }
    }
}
