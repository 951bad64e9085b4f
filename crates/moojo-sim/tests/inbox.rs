//! The messages over HTTP: as JSON and as a page.

mod support;

use serde_json::json;
use support::*;

#[tokio::test]
async fn the_inbox_is_json_of_all_numbers_or_of_one() {
    let (sim, _clock) = sim().await;
    assert_eq!(get(&sim, "/sim/inbox").await.json(), json!({ "messages": [] }));
    let code = send_code(&sim, PHONE).await;
    send_code(&sim, "+15550000002").await;

    let all = get(&sim, "/sim/inbox").await;
    assert_eq!(all.json()["messages"].as_array().map(Vec::len), Some(2));
    let message = &sim.inbox(PHONE)[0];
    let expected = json!({ "messages": [{
        "to": PHONE,
        "code": code,
        "text": message.text,
        "at": "2025-02-16T13:12:52.555Z",
        "verificationId": message.verification_id,
    }] });
    // With the plus as it is, escaped, and without.
    for phone in ["+15559876543", "%2B1(555)987-6543", "15559876543"] {
        let one = get(&sim, &format!("/sim/inbox?phone={phone}")).await;
        assert_eq!(one.json(), expected, "{phone}");
    }
    assert_eq!(get(&sim, "/sim/inbox?phone=").await.json(), all.json());
    assert_eq!(get(&sim, "/sim/inbox?phone=1&phone=2").await.status, 400);
}

#[tokio::test]
async fn the_page_shows_the_messages_and_loads_nothing_from_elsewhere() {
    let (sim, _clock) = sim().await;
    let empty = get(&sim, "/").await;
    assert_eq!(empty.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(empty.text().contains("No messages yet"));

    let first = send_code(&sim, PHONE).await;
    let second = send_code(&sim, "+15550000002").await;
    let page = get(&sim, "/sim/phone").await;
    for part in [&format!("<b>{first}</b>"), &format!("<b>{second}</b>"), PHONE, "13:12:52"] {
        assert!(page.text().contains(part), "{part}");
    }
    let policy = page.header("content-security-policy").expect("a policy").to_owned();
    assert!(policy.starts_with("default-src 'none'"));
    let nonce = policy.split("script-src 'nonce-").nth(1).and_then(|rest| rest.split('\'').next());
    let nonce = nonce.expect("a nonce");
    assert!(page.text().contains(&format!("<script nonce=\"{nonce}\">")));
    assert!(!get(&sim, "/").await.text().contains(nonce), "a new nonce for each page");
    assert!(!page.text().contains("http://") && !page.text().contains("https://"));

    let one = get(&sim, "/sim/phone?phone=15550000002").await.text();
    assert!(one.contains(&format!("<b>{second}</b>")) && !one.contains(&format!("<b>{first}</b>")));
}

#[tokio::test]
async fn what_a_caller_sends_is_never_markup_on_the_page() {
    let (sim, _clock) = sim().await;
    let hostile = "+1555<script>alert(1)</script>000\" onload='x'&\u{202e}1";
    send_code(&sim, hostile).await;
    send_code(&sim, PHONE).await;
    for path in ["/", "/sim/phone?phone=%3Cscript%3Ealert(2)%3C/script%3E"] {
        let page = get(&sim, path).await.text();
        assert!(!page.contains("<script>") && !page.contains("onload='"), "{page}");
        assert_eq!(page.matches("<script").count(), 1, "our own");
        assert!(page.contains("&lt;script&gt;alert(1)"));
        assert!(!page.contains('\u{202e}'));
    }
}
