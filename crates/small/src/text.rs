/// Text from a stranger with everything that could drive a terminal taken out: control characters of
/// both ranges but line feeds and tabs (RFC 1288 3.3). What is not UTF-8 is shown as `�`.
///
/// ```
/// use ropewalk_small::printable;
/// assert_eq!(printable(b"red \x1b[31malert\r\n\xff"), "red [31malert\n\u{fffd}");
/// ```
pub fn printable(bytes: &[u8]) -> String {
    let keep = |c: &char| !c.is_control() || matches!(c, '\n' | '\t');
    String::from_utf8_lossy(bytes).chars().filter(keep).collect()
}

/// Text as it goes over the wire: printable, each line ended by CR LF.
pub(crate) fn lines(text: &str) -> Vec<u8> {
    let mut wire = Vec::with_capacity(text.len() + 2);
    for line in text.lines() {
        wire.extend_from_slice(printable(line.as_bytes()).as_bytes());
        wire.extend_from_slice(b"\r\n");
    }
    wire
}
