//! Frames by themselves.

use ropewalk_http2::frame::{
    BadFrame, ErrorCode, Frame, FrameDecoder, FrameFault, PREFACE, Setting, Settings, write_data,
    write_go_away, write_headers, write_ping, write_priority_update, write_reset, write_settings,
    write_settings_ack, write_window_update,
};

/// Octets of a frame, whatever it is.
pub(crate) fn raw(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend_from_slice(&[kind, flags]);
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// All that a decoder says of some octets, bodies joined, fed in pieces of `size`.
fn read(mut decoder: FrameDecoder, octets: &[u8], size: usize) -> Vec<String> {
    let (mut said, mut body, mut flows) = (Vec::new(), Vec::new(), 0);
    for mut input in octets.chunks(size) {
        loop {
            match decoder.next(&mut input) {
                Ok(Some(Frame::Data { stream, data, flow, is_frame_end, is_end, .. })) => {
                    body.extend_from_slice(data);
                    flows += flow;
                    if is_frame_end {
                        let body = std::mem::take(&mut body);
                        let text = body.escape_ascii();
                        said.push(format!("data {stream} {text} {flows} {is_end}"));
                        flows = 0;
                    }
                }
                Ok(Some(frame)) => said.push(format!("{frame:?}")),
                Ok(None) => break,
                Err(bad) if bad.stream.is_some() => said.push(bad.to_string()),
                Err(bad) => {
                    said.push(bad.to_string());
                    return said;
                }
            }
        }
        assert!(input.is_empty());
    }
    assert!(decoder.is_between_frames());
    said
}

/// One of each.
fn all() -> Vec<u8> {
    let mut out = Vec::new();
    let settings = Settings::new().with(Setting::MaxFrameSize, 20_000).with(Setting::EnablePush, 0);
    write_settings(&settings, &mut out);
    write_settings_ack(&mut out);
    write_headers(1, false, 16_384, &mut out, |out| out.extend_from_slice(b"block"));
    write_headers(3, true, 2, &mut out, |out| out.extend_from_slice(b"in pieces"));
    write_data(1, b"body", false, &mut out);
    write_data(1, b"", true, &mut out);
    out.extend(raw(0, 8, 3, b"\x03padded\0\0\0"));
    out.extend(raw(1, 0x2c, 5, b"\x02\0\0\0\0\x10prioritised and padded\0\0"));
    out.extend(raw(2, 0, 5, b"\0\0\0\0\0"));
    out.extend(raw(0x5, 4, 5, b"\0\0\0\x02promise"));
    write_reset(3, ErrorCode::Cancel, &mut out);
    write_ping(*b"12345678", false, &mut out);
    write_ping(*b"12345678", true, &mut out);
    write_window_update(0, 7, &mut out);
    write_window_update(1, 0x7fff_ffff, &mut out);
    write_priority_update(1, b"u=1, i", &mut out);
    out.extend(raw(0xfe, 0xff, 9, b"of another time"));
    write_go_away(5, ErrorCode::NoError, b"bye", &mut out);
    out
}

#[test]
fn however_it_is_cut_it_reads_the_same() {
    let octets = all();
    let whole = read(FrameDecoder::of_server(1000), &octets, octets.len());
    assert_eq!(whole.len(), 18);
    assert!(whole.contains(&"data 3 padded 10 false".to_owned()), "{whole:#?}");
    for size in 1..40 {
        assert_eq!(read(FrameDecoder::of_server(1000), &octets, size), whole, "{size}");
    }
}

#[test]
fn a_client_begins_with_the_preface() {
    let mut octets = PREFACE.to_vec();
    write_settings(&Settings::new(), &mut octets);
    for size in 1..octets.len() {
        assert_eq!(read(FrameDecoder::of_client(1000), &octets, size).len(), 1);
    }
    for at in 0..PREFACE.len() {
        let mut wrong = octets.clone();
        wrong[at] ^= 1;
        let mut decoder = FrameDecoder::of_client(1000);
        let bad = decoder.next(&mut &wrong[..]).expect_err("no preface");
        assert_eq!((bad.code, bad.fault), (ErrorCode::ProtocolError, FrameFault::NoPreface));
    }
}

#[track_caller]
fn check(octets: &[u8], code: ErrorCode, stream: Option<u32>, fault: FrameFault) {
    let mut input = raw(4, 0, 0, b"");
    input.extend_from_slice(octets);
    // What is wrong is told as soon as it is there, and for however it was cut.
    for size in [1, 3, input.len()] {
        let mut decoder = FrameDecoder::of_server(100);
        let mut found = None;
        for mut piece in input.chunks(size) {
            while found.is_none() {
                match decoder.next(&mut piece) {
                    Ok(Some(_)) => (),
                    Ok(None) => break,
                    Err(bad) => found = Some(bad),
                }
            }
        }
        assert_eq!(found, Some(BadFrame { code, stream, fault }), "in pieces of {size}");
    }
}

#[test]
fn each_rule_has_its_error() {
    use ErrorCode::{EnhanceYourCalm, FlowControlError, FrameSizeError, ProtocolError};
    use FrameFault as F;
    let long = vec![0; 16_385];
    check(&raw(0, 0, 1, &long), FrameSizeError, None, F::TooLong { len: 16_385, max: 16_384 });
    check(&raw(0, 0, 0, b"x"), ProtocolError, None, F::OnConnection { kind: 0 });
    check(&raw(0, 8, 1, b"\x01"), ProtocolError, None, F::Padding);
    check(&raw(0, 8, 1, b"\x03ab"), ProtocolError, None, F::Padding);
    check(&raw(0, 8, 1, b""), FrameSizeError, None, F::WrongLength { kind: 0, len: 0 });
    check(&raw(1, 4, 0, b"x"), ProtocolError, None, F::OnConnection { kind: 1 });
    check(&raw(1, 0xc, 1, b"\x05abc"), ProtocolError, None, F::Padding);
    check(&raw(1, 0x24, 1, b"\0\0\0\0"), FrameSizeError, None, F::WrongLength { kind: 1, len: 4 });
    check(&raw(1, 4, 1, &[0; 101]), EnhanceYourCalm, None, F::BlockTooLong { max: 100 });
    check(&raw(2, 0, 0, b"\0\0\0\0\0"), ProtocolError, None, F::OnConnection { kind: 2 });
    check(&raw(2, 0, 3, b"\0"), FrameSizeError, Some(3), F::WrongLength { kind: 2, len: 1 });
    check(&raw(3, 0, 0, b"\0\0\0\0"), ProtocolError, None, F::OnConnection { kind: 3 });
    check(&raw(3, 0, 1, b"\0\0\0"), FrameSizeError, None, F::WrongLength { kind: 3, len: 3 });
    check(&raw(4, 0, 1, b""), ProtocolError, None, F::OnStream { kind: 4 });
    check(&raw(4, 1, 0, b"\0\0\0\0\0\0"), FrameSizeError, None, F::WrongLength { kind: 4, len: 6 });
    check(&raw(4, 0, 0, b"\0\0\0\0\0"), FrameSizeError, None, F::WrongLength { kind: 4, len: 5 });
    for (number, value, code, setting) in [
        (2, 2, ProtocolError, Setting::EnablePush),
        (4, 0x8000_0000, FlowControlError, Setting::InitialWindowSize),
        (5, 16_383, ProtocolError, Setting::MaxFrameSize),
        (5, 1 << 24, ProtocolError, Setting::MaxFrameSize),
        (8, 2, ProtocolError, Setting::EnableConnectProtocol),
        (9, 2, ProtocolError, Setting::NoRfc7540Priorities),
    ] {
        let mut payload = vec![0, number];
        payload.extend_from_slice(&u32::to_be_bytes(value));
        check(&raw(4, 0, 0, &payload), code, None, F::BadSetting { setting, value });
    }
    check(&raw(6, 0, 1, &[0; 8]), ProtocolError, None, F::OnStream { kind: 6 });
    check(&raw(6, 0, 0, &[0; 7]), FrameSizeError, None, F::WrongLength { kind: 6, len: 7 });
    check(&raw(7, 0, 1, &[0; 8]), ProtocolError, None, F::OnStream { kind: 7 });
    check(&raw(7, 0, 0, &[0; 7]), FrameSizeError, None, F::WrongLength { kind: 7, len: 7 });
    check(&raw(8, 0, 0, b"\0\0\0\0"), ProtocolError, None, F::EmptyIncrement);
    check(&raw(8, 0, 5, b"\x80\0\0\0"), ProtocolError, Some(5), F::EmptyIncrement);
    check(&raw(8, 0, 5, b"\0\0\0"), FrameSizeError, None, F::WrongLength { kind: 8, len: 3 });
    check(&raw(9, 4, 1, b"x"), ProtocolError, None, F::StrayContinuation);
    check(&raw(9, 4, 0, b"x"), ProtocolError, None, F::OnConnection { kind: 9 });
    check(&raw(16, 0, 1, b"\0\0\0\x01u=1"), ProtocolError, None, F::OnStream { kind: 16 });
    check(&raw(16, 0, 0, b"\0\0\0"), FrameSizeError, None, F::WrongLength { kind: 16, len: 3 });
    check(&raw(16, 0, 0, b"\0\0\0\0u=1"), ProtocolError, None, F::OnConnection { kind: 16 });
    let broken = |kind, flags, stream, payload: &[u8]| {
        [raw(1, 0, 1, b"half"), raw(kind, flags, stream, payload)].concat()
    };
    check(&broken(6, 0, 0, &[0; 8]), ProtocolError, None, F::Interrupted { kind: 6 });
    check(&broken(0xfe, 0, 0, b""), ProtocolError, None, F::Interrupted { kind: 0xfe });
    check(&broken(9, 4, 3, b"x"), ProtocolError, None, F::Interrupted { kind: 9 });
    check(&broken(9, 4, 1, &[0; 97]), EnhanceYourCalm, None, F::BlockTooLong { max: 100 });
    let mut flood = raw(1, 0, 1, b"");
    (0..17).for_each(|_| flood.extend(raw(9, 0, 1, b"")));
    check(&flood, EnhanceYourCalm, None, F::TooManyContinuations { max: 16 });
}

#[test]
fn settings_come_first() {
    let mut decoder = FrameDecoder::of_server(100);
    let bad = decoder.next(&mut &raw(6, 0, 0, &[0; 8])[..]).expect_err("a ping");
    assert_eq!(bad.fault, FrameFault::NotSettings { kind: 6 });
    let mut decoder = FrameDecoder::of_server(100);
    let bad = decoder.next(&mut &raw(4, 1, 0, b"")[..]).expect_err("an acknowledgement");
    assert_eq!(bad.fault, FrameFault::NotSettings { kind: 4 });
}

#[test]
fn unknown_settings_are_passed_over_and_the_last_of_several_holds() {
    let payload = [&[0, 77, 0, 0, 0, 1][..], &[0, 3, 0, 0, 0, 1], &[0, 3, 0, 0, 0, 2]].concat();
    let mut decoder = FrameDecoder::of_server(100);
    let octets = raw(4, 0, 0, &payload);
    let frame = decoder.next(&mut &octets[..]);
    let expected = Settings::new().with(Setting::MaxConcurrentStreams, 2);
    assert_eq!(frame, Ok(Some(Frame::Settings(expected))));
}
