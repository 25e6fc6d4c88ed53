//! HTTP/2 by hand, for clients that do what no library does.

use super::PREFACE;

pub(crate) const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A short frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).expect("it is short");
    [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
}

/// What a client says first.
pub(crate) fn hello() -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()
}

/// A header that is not put into the table.
fn header(name: &str, value: &str) -> Vec<u8> {
    let length = |text: &str| u8::try_from(text.len()).expect("it is short");
    [&[0, length(name)], name.as_bytes(), &[length(value)], value.as_bytes()].concat()
}

pub(crate) fn get(stream: u8, path: &str) -> Vec<u8> {
    let head = [(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", "test")];
    let head = head.map(|(name, value)| header(name, value)).concat();
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &head)
}

/// The beginning of a WebSocket.
pub(crate) fn connect(stream: u8, path: &str) -> Vec<u8> {
    let head = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "test"),
        ("sec-websocket-version", "13"),
    ];
    let head = head.map(|(name, value)| header(name, value)).concat();
    frame(HEADERS, END_HEADERS, stream, &head)
}
