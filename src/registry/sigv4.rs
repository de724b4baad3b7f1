//! AWS Signature Version 4, as far as one POST without a query needs it.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>

use hmac::{Hmac, Mac};
use http::Method;
use sha2::{Digest as _, Sha256};

use super::secret::Secret;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// A request that is to be signed, and for whom.
pub(super) struct Signing<'a> {
    pub(super) method: &'a Method,
    /// As it stands in the URL: percent-encoded.
    pub(super) path: &'a str,
    /// Names in lower case; `host` and `x-amz-date` among them.
    pub(super) headers: &'a [(&'a str, &'a str)],
    pub(super) body: &'a [u8],
    pub(super) region: &'a str,
    pub(super) service: &'a str,
    /// As in `x-amz-date`: `20150830T123600Z`.
    pub(super) time: &'a str,
}

impl Signing<'_> {
    /// The value of `Authorization`.
    pub(super) fn authorization(&self, key_id: &str, secret: &Secret) -> String {
        let headers = self.sorted_headers();
        let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");
        let lines: String =
            headers.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
        let (method, path, body) = (self.method, self.path, sha256(self.body));
        let canonical = format!("{method}\n{path}\n\n{lines}\n{names}\n{body}");
        let scope = format!("{}/{}/{}/aws4_request", self.date(), self.region, self.service);
        let to_sign = format!("{ALGORITHM}\n{}\n{scope}\n{}", self.time, sha256(canonical.as_bytes()));
        let signature = hex(&hmac(&self.signing_key(secret), &to_sign));
        format!("{ALGORITHM} Credential={key_id}/{scope}, SignedHeaders={names}, Signature={signature}")
    }

    fn sorted_headers(&self) -> Vec<(&str, &str)> {
        let mut headers = self.headers.to_vec();
        headers.sort_unstable();
        headers
    }

    fn date(&self) -> &str {
        self.time.split('T').next().unwrap_or_default()
    }

    /// Good for one day, region and service.
    fn signing_key(&self, secret: &Secret) -> Vec<u8> {
        let first = format!("AWS4{}", secret.expose()).into_bytes();
        let parts = [self.date(), self.region, self.service, "aws4_request"];
        parts.into_iter().fold(first, |key, part| hmac(&key, part))
    }
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    // Keys of any length are taken.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    const TIME: &str = "20150830T123600Z";
    const HOST: (&str, &str) = ("host", "example.amazonaws.com");
    const DATE: (&str, &str) = ("x-amz-date", TIME);
    const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

    fn signing<'a>(method: &'a Method, headers: &'a [(&'a str, &'a str)], body: &'a str) -> Signing<'a> {
        let (region, service) = ("us-east-1", "service");
        Signing { method, path: "/", headers, body: body.as_bytes(), region, service, time: TIME }
    }

    /// The vectors of AWS's own test suite, by its names.
    #[rstest]
    #[case::get_vanilla(Method::GET, &[HOST, DATE], "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31")]
    #[case::post_vanilla(Method::POST, &[DATE, HOST], "", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b")]
    #[case::post_x_www_form_urlencoded(Method::POST, &[HOST, DATE, FORM], "Param1=value1", "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a")]
    fn requests_are_signed_as_aws_does_it(
        #[case] method: Method,
        #[case] headers: &[(&str, &str)],
        #[case] body: &str,
        #[case] signature: &str,
    ) {
        let text = signing(&method, headers, body).authorization("AKIDEXAMPLE", &Secret::new(SECRET));
        let scope = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, ";
        assert!(text.starts_with(scope), "{text}");
        assert!(text.ends_with(&format!(", Signature={signature}")), "{text}");
        assert!(!text.contains(SECRET));
    }

    /// The example of the documentation.
    #[test]
    fn the_key_is_derived_as_aws_does_it() {
        let signing = Signing { service: "iam", ..signing(&Method::GET, &[], "") };
        let key = hex(&signing.signing_key(&Secret::new(SECRET)));
        assert_eq!(key, "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9");
    }
}
