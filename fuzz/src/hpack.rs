//! Bytes to fields and back.

use http::HeaderValue;
use ropewalk_http2::hpack::{Decoder, Encoder, Field, Name};

/// Nothing panics, the tables keep their bounds, and what is read can be written.
pub(crate) fn check(bytes: &[u8]) {
    let (mut decoder, mut encoder, mut again) = (Decoder::new(), Encoder::new(), Decoder::new());
    // Several blocks after one another, each with its length in front.
    let mut rest = bytes;
    while let Some((&len, blocks)) = rest.split_first() {
        let (block, behind) = blocks.split_at(usize::from(len).min(blocks.len()));
        rest = behind;
        let mut fields: Vec<Field> = Vec::new();
        let outcome = decoder.decode(block, |field| fields.push(field));
        assert!(decoder.table_size() <= 4096);
        rewrite(&fields, &mut encoder, &mut again);
        if outcome.is_err() {
            return;
        }
    }
}

fn rewrite(fields: &[Field], encoder: &mut Encoder, decoder: &mut Decoder) {
    let mut block = Vec::new();
    let mut section = encoder.section(&mut block);
    let mut expected = Vec::new();
    for field in fields {
        match &field.name {
            Name::Pseudo(pseudo) => section.pseudo(*pseudo, &field.value),
            Name::Field(name) => {
                let Ok(mut value) = HeaderValue::from_bytes(&field.value) else { continue };
                value.set_sensitive(field.is_secret);
                section.field(name, &value);
            }
            Name::Other(_) => continue,
        }
        expected.push((field.name.clone(), field.value.clone()));
    }
    let mut found = Vec::new();
    decoder
        .decode(&block, |field| found.push((field.name, field.value)))
        .expect("what was written");
    assert_eq!(found, expected);
    assert_eq!(decoder.table_size(), encoder.table_size());
}
