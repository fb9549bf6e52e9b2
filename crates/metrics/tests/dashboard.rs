//! The dashboard for Grafana that comes with the program.

use std::collections::BTreeSet;
use std::path::Path;

use ropewalk_metrics::NAMES;
use serde_json::Value;

/// Every string in a document.
fn strings<'a>(value: &'a Value, into: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => into.push(text),
        Value::Array(all) => all.iter().for_each(|one| strings(one, into)),
        Value::Object(all) => all.values().for_each(|one| strings(one, into)),
        _ => (),
    }
}

#[test]
fn every_metric_that_the_dashboard_names_is_there() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../contrib/grafana.json");
    let document: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut all = Vec::new();
    strings(&document, &mut all);
    let mut named = BTreeSet::new();
    for text in all {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let metrics =
            words.filter(|word| word.starts_with("ropewalk_") || word.starts_with("process_"));
        named.extend(metrics.map(|word| {
            let endings = ["_total", "_bucket", "_sum", "_count"];
            endings.iter().find_map(|ending| word.strip_suffix(ending)).unwrap_or(word)
        }));
    }
    let there: BTreeSet<&str> = NAMES.into_iter().collect();
    let unknown: Vec<_> = named.difference(&there).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    // Of what is counted all is shown, but for what has no meaning of its own.
    let left: Vec<_> = there.difference(&named).copied().collect();
    assert_eq!(left, ["ropewalk_datagrams", "ropewalk_gauge"]);
    let panels = document["panels"].as_array().unwrap();
    assert!(panels.len() >= 12);
    for panel in panels {
        assert!(!panel["targets"].as_array().unwrap().is_empty(), "{}", panel["title"]);
    }
}
