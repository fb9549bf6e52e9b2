//! The dashboard for Grafana asks for what there is.

use std::collections::BTreeSet;
use std::process::Command;

use ropewalk_interop::tool;
use serde_json::Value;

use crate::program::program;
use crate::{ask, root, serve, talk};

/// What histograms have, each as a name of its own.
const OF_HISTOGRAMS: [&str; 3] = ["_bucket", "_count", "_sum"];

/// The names of metrics in a query: words that are followed by labels.
fn names(query: &str) -> Vec<&str> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let before = query.match_indices(['{']).map(|(index, _)| &query[..index]);
    before
        .map(|before| {
            let start = before.rfind(|c| !is_word(c)).map_or(0, |index| index + 1);
            &before[start..]
        })
        .collect()
}

/// The labels that a query asks for by `name`, `name=` or in `by (…)`.
fn labels(query: &str) -> Vec<&str> {
    let parts = query.split(" by (").skip(1).filter_map(|rest| rest.split_once(')'));
    parts.flat_map(|(list, _)| list.split(',').map(str::trim)).collect()
}

/// The metrics that a text for Prometheus has, and all labels of theirs.
fn exposed(text: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let mut metrics = BTreeSet::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').expect("a name and what it is");
        match kind {
            "counter" => drop(metrics.insert(format!("{name}_total"))),
            "histogram" => {
                metrics.extend(OF_HISTOGRAMS.map(|ending| format!("{name}{ending}")));
            }
            _ => drop(metrics.insert(name.to_owned())),
        }
    }
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let labels = samples.filter_map(|line| line.split_once('{')?.1.split_once("\"}"));
    let names = labels.flat_map(|(list, _)| {
        list.split("\",").filter_map(|label| Some(label.split_once('=')?.0.to_owned()))
    });
    (metrics, names.collect())
}

#[test]
fn each_query_of_the_dashboard_names_metrics_that_there_are() {
    let places = ["tcp:0:interface=127.0.0.1", "tls:0:interface=127.0.0.1:self-signed"];
    let web = ["web", "--metrics", "/metrics", "--log", "off", "--listen", places[0], "--listen"];
    let (mut served, place) = serve(Command::new(program()).args(web).arg(places[1]));
    let get = || talk(&place, "GET /metrics HTTP/1.0\r\n\r\n");
    assert!(talk(&place, "GET / HTTP/1.0\r\n\r\n").starts_with("HTTP/1.1 200 "));
    let encrypted = served.line_after("").expect("the other place");
    ask(Command::new(tool("curl")).args(["-sfk", "-o", "/dev/null", &encrypted]));
    // What has happened is counted: a request, a handshake, ends of both.
    let text = get();
    let (metrics, known) = exposed(&text);
    assert!(metrics.len() > 30, "{text}");

    let text = std::fs::read(root().join("contrib/grafana.json")).expect("a file");
    let dashboard: Value = serde_json::from_slice(&text).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let titles: BTreeSet<_> = panels.iter().map(|panel| panel["title"].as_str()).collect();
    assert_eq!(titles.len(), panels.len(), "each has a title of its own");
    let mut queries: Vec<&str> = panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().expect("queries"))
        .map(|target| target["expr"].as_str().expect("a query"))
        .collect();
    assert!(queries.len() >= panels.len(), "each panel asks for something");
    for query in &queries {
        assert!(!names(query).is_empty(), "{query}");
        assert_eq!(query.matches('(').count(), query.matches(')').count(), "{query}");
        for label in labels(query) {
            assert!(known.contains(label), "no metric has {label}: {query}");
        }
    }
    // A variable is asked for by `label_values(METRIC, LABEL)`.
    let variables = dashboard["templating"]["list"].as_array().expect("variables");
    let asked = variables.iter().filter_map(|variable| variable["query"].as_str());
    queries.extend(asked.filter(|query| query.starts_with("label_values(")));
    for query in queries {
        let plain =
            query.strip_prefix("label_values(").and_then(|rest| rest.split_once([',', '{']));
        for name in plain.map_or_else(|| names(query), |(name, _)| vec![name]) {
            assert!(metrics.contains(name), "there is no {name}: {query}");
        }
    }
    // Whom it asks, and of whom, is chosen on the page.
    let text = String::from_utf8_lossy(&text);
    for variable in text.split('$').skip(1).filter(|rest| !rest.starts_with("__")) {
        let name: String = variable
            .trim_start_matches('{')
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
            .collect();
        let is_known = variables.iter().any(|variable| variable["name"] == name.as_str());
        assert!(is_known, "nobody chooses ${name}");
    }
}
