//! The page that shows the messages as a phone would.

use std::fmt::Write;

use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};

use crate::moojo::digits;
use crate::sms::SmsMessage;

const STYLE: &str = include_str!("phone.css");
const SCRIPT: &str = include_str!("phone.js");

/// How many messages are shown; who has more takes `/sim/inbox`.
const SHOWN: usize = 100;
/// How many numbers are offered for choosing.
const NUMBERS: usize = 24;

/// The whole page; `phone` chooses one number's messages. The nonce must be new for each page.
pub(super) fn page(
    messages: &[SmsMessage],
    phone: Option<&str>,
    now: DateTime<Utc>,
    nonce: &str,
) -> Response {
    // Nothing but what is on the page may run or load, even if a message got past the escaping.
    let policy = format!(
        "default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; \
         connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'"
    );
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
        (CACHE_CONTROL, "no-store".to_owned()),
        (CONTENT_SECURITY_POLICY, policy),
    ];
    (headers, html(messages, phone, now, nonce)).into_response()
}

fn html(messages: &[SmsMessage], phone: Option<&str>, now: DateTime<Utc>, nonce: &str) -> String {
    let clock = now.format("%H:%M");
    let live = live(messages, phone);
    format!(
        r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Phone · simulated Moojo</title>
<link rel="icon" href="data:,">
<noscript><meta http-equiv="refresh" content="3"></noscript>
<style nonce="{nonce}">{STYLE}</style>
</head>
<body>
<main class="phone">
<header>
<div class="bar"><time id="clock">{clock}</time><span class="notch"></span><span>SIM</span></div>
<div class="contact"><span class="face" aria-hidden="true">M</span><h1>Moojo</h1><p>simulated text messages</p></div>
</header>
<div id="live">{live}</div>
</main>
<script nonce="{nonce}">{SCRIPT}</script>
</body>
</html>
"#
    )
}

/// The part of the page that changes.
fn live(messages: &[SmsMessage], phone: Option<&str>) -> String {
    let chosen = phone.map(digits);
    let of_chosen =
        |message: &&SmsMessage| chosen.as_ref().is_none_or(|chosen| digits(&message.to) == *chosen);
    let mut html = numbers(messages, chosen.as_deref());
    html.push_str("<ol class=\"thread\">");
    let mut shown: Vec<_> = messages.iter().rev().filter(of_chosen).take(SHOWN).collect();
    shown.reverse();
    if shown.is_empty() {
        html.push_str("<li class=\"empty\">No messages yet. They show up here by themselves.</li>");
    }
    let mut day = None;
    for message in shown {
        let date = message.at.date_naive();
        if day.replace(date) != Some(date) {
            push(&mut html, format_args!("<li class=\"day\">{}</li>", date.format("%A, %e %B %Y")));
        }
        push(
            &mut html,
            format_args!(
                "<li class=\"sms\"><p>{}</p><small>to {} · {} UTC</small></li>",
                text(message),
                escape(&message.to),
                message.at.format("%H:%M:%S"),
            ),
        );
    }
    html.push_str("</ol>");
    html
}

/// Links that choose a number, those with the latest messages first.
fn numbers(messages: &[SmsMessage], chosen: Option<&str>) -> String {
    let mut seen: Vec<(String, &str)> = Vec::new();
    for message in messages.iter().rev() {
        let number = digits(&message.to);
        if seen.len() < NUMBERS && seen.iter().all(|(seen, _)| *seen != number) {
            seen.push((number, &message.to));
        }
    }
    let mut html = String::new();
    if seen.len() < 2 && chosen.is_none() {
        return html;
    }
    let current = |is: bool| if is { " aria-current=\"true\"" } else { "" };
    html.push_str("<nav>");
    push(&mut html, format_args!("<a href=\"/sim/phone\"{}>All</a>", current(chosen.is_none())));
    for (number, written) in seen {
        let current = current(chosen == Some(number.as_str()));
        let written = escape(written);
        // Digits need no escaping.
        push(
            &mut html,
            format_args!("<a href=\"/sim/phone?phone={number}\"{current}>{written}</a>"),
        );
    }
    html.push_str("</nav>");
    html
}

/// The text with the code made to stand out.
fn text(message: &SmsMessage) -> String {
    let code = escape(&message.code);
    escape(&message.text).replacen(&code, &format!("<b>{code}</b>"), 1)
}

/// For text and for attributes in double quotes. Characters that turn the direction of what
/// follows are shown as what they are.
fn escape(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => html.push('\u{fffd}'),
            character if character.is_control() => html.push('\u{fffd}'),
            character => html.push(character),
        }
    }
    html
}

fn push(html: &mut String, more: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = html.write_fmt(more);
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn nothing_of_a_text_is_markup() {
        assert_eq!(
            escape(r#"<a href="x" id='y'>&"#),
            "&lt;a href=&quot;x&quot; id=&#39;y&#39;&gt;&amp;"
        );
        assert_eq!(escape("+1\u{202e}555\n"), "+1\u{fffd}555\u{fffd}");
    }
}
