use super::*;

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(*name, HeaderValue::from_static(value));
    }
    headers
}

/// Whether a page of `origin` may ask `host`.
fn may(host: &'static str, origin: &'static str) -> bool {
    check_origin(&headers(&[("host", host), ("origin", origin)])).is_ok()
}

#[test]
fn a_page_is_served_over_https_except_from_loopback() {
    for (host, origin) in [
        ("acme.example.com", "https://acme.example.com"),
        ("acme.example.com:8443", "https://acme.example.com:8443"),
        ("acme.localhost:7420", "http://acme.localhost:7420"),
        ("localhost", "http://localhost"),
        ("127.0.0.1:7420", "http://127.0.0.1:7420"),
        ("[::1]:7420", "http://[::1]:7420"),
    ] {
        assert!(may(host, origin), "{origin}");
    }
    for (host, origin) in [
        ("acme.example.com", "http://acme.example.com"),
        ("acme.example.com", "https://acme.example.com.evil.example"),
        ("acme.example.com", "https://acme.example.com:8443"),
        ("acme.example.com", "null"),
        ("10.0.0.1", "http://10.0.0.1"),
        ("evillocalhost", "http://evillocalhost"),
    ] {
        assert!(!may(host, origin), "{origin}");
    }
    assert!(check_origin(&headers(&[("origin", "https://")])).is_err(), "there is no host");
}

#[test]
fn nobody_can_be_said_to_forward_another_scheme_or_host() {
    let forwarded = headers(&[
        ("host", "acme.example.com"),
        ("origin", "http://evil.example"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "http"),
        ("forwarded", "host=evil.example;proto=http"),
    ]);
    assert!(check_origin(&forwarded).is_err());
}

#[test]
fn a_cookie_is_for_one_host_and_out_of_reach_of_scripts() {
    let cookie = set("cbt_text", Lifetime::hours(1));
    let expected =
        "__Host-callboard=cbt_text; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=3600";
    assert_eq!(cookie, expected);
    assert!(cookie.is_sensitive());
}
