//! Files and what is wrong with them, by the options of a made-up command.

use clap::{Args, ValueEnum};
use proptest::prelude::*;
use ropewalk_config::{Document, FAULTS_MAX, Faults, changes};

#[derive(Args, Debug)]
struct Web {
    /// The directory
    #[arg(long, value_name = "DIR", default_value = ".")]
    path: String,
    /// Other hosts
    #[arg(long, value_name = "HOST=DIR")]
    vhost: Vec<String>,
    /// Fields
    #[arg(long, value_name = "NAME: VALUE")]
    header: Vec<String>,
    /// Compress
    #[arg(long)]
    gzip: bool,
    /// How much
    #[arg(long, value_name = "BYTES", default_value_t = 10)]
    body_max: u64,
    /// Links
    #[arg(long, value_enum, default_value = "inside")]
    links: Links,
    /// Take files
    #[arg(long, conflicts_with = "gzip")]
    upload: bool,
}

#[derive(Args, Debug)]
struct Simple {
    /// Which
    #[arg(value_enum)]
    name: Links,
    /// Whom
    #[arg(long, required = true)]
    user: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Links {
    Inside,
    All,
    None,
}

fn read<T: Args>(text: &str) -> Result<T, Faults> {
    Document::parse("app.toml", text)?.root().table("web")?.expect("a table").options()
}

#[track_caller]
fn refused<T: Args>(text: &str, told: &[&str]) {
    let Err(faults) = read::<T>(text) else { panic!("it is taken: {text}") };
    assert_eq!(faults.to_string().lines().collect::<Vec<_>>(), told, "{text}");
}

#[test]
fn keys_are_options() {
    let web: Web = read(
        "[web]\npath = 'site'\ngzip = true\nupload = false\nbody_max = 1_000\nlinks = 'all'\n\
         header = ['A: 1']\n[web.vhost]\n'example.com' = 'a'\n'example.org' = ['b', 'c']\n",
    )
    .unwrap();
    assert_eq!((web.path.as_str(), web.body_max, web.links), ("site", 1000, Links::All));
    assert!(web.gzip && !web.upload);
    assert_eq!(web.vhost, ["example.com=a", "example.org=b", "example.org=c"]);
    assert_eq!(web.header, ["A: 1"]);
    let web: Web = read("[web]\nbody-max = 5\nheader = { A = '1', B = 2 }\n").unwrap();
    assert_eq!((web.body_max, web.path.as_str()), (5, "."));
    assert_eq!(web.header, ["A: 1", "B: 2"]);
    let simple: Simple = read("[web]\nname = 'none'\nuser = ['--alice', 'bob']").unwrap();
    assert_eq!((simple.name, simple.user.len()), (Links::None, 2));
}

#[test]
fn what_is_wrong_is_told_at_its_place() {
    refused::<Web>(
        "[web]\n  paht = 'x'\n  zebra = 1\n",
        &[
            "app.toml:2:3: there is no key \"paht\" in [web]; did you mean \"path\"?",
            "app.toml:3:3: there is no key \"zebra\" in [web]; there are body_max, gzip, header, links, path, \
             upload, vhost",
        ],
    );
    refused::<Web>(
        "[web]\ngzip = 'yes'",
        &["app.toml:2:8: \"gzip\" is true or false, and not \"yes\""],
    );
    refused::<Web>(
        "[web]\npath = ['a', 'b']",
        &["app.toml:2:8: \"path\" has one value, and not several"],
    );
    refused::<Web>(
        "[web]\npath = { a = 'b' }",
        &["app.toml:2:8: expected one value or a list, and not { a = \"b\" }"],
    );
    refused::<Web>(
        "\n\n[web]\nlinks = 'insde'",
        &["app.toml:4:9: \"links\" cannot be \"insde\"; did you mean \"inside\"?"],
    );
    refused::<Web>(
        "[web]\nlinks = 'x'",
        &["app.toml:2:9: \"links\" cannot be \"x\"; there are inside, all, none"],
    );
    refused::<Web>(
        "[web]\nbody_max = -1",
        &["app.toml:2:12: \"body_max\" cannot be \"-1\": invalid digit found in string"],
    );
    refused::<Web>(
        "[web]\nupload = true\ngzip = true",
        &["app.toml:2:10: \"upload\" cannot stand beside \"gzip\""],
    );
    refused::<Simple>("\n[web]\nname = 'all'", &["app.toml:2:1: \"user\" is missing in [web]"]);
}

#[test]
fn what_is_no_toml_is_told_at_its_place() {
    let told = |text: &str| Document::parse("a.toml", text).unwrap_err().to_string();
    assert!(told("a = 1\nb = \n").starts_with("a.toml:2:"), "{}", told("a = 1\nb = \n"));
    assert!(told("[a\n").starts_with("a.toml:1:"), "{}", told("[a\n"));
    assert!(
        told("a = 1\na = 2\n").starts_with("a.toml:2:1: duplicate key"),
        "{}",
        told("a = 1\na = 2\n")
    );
    let many = "= 1\n".repeat(1_000);
    let faults = Document::parse("a.toml", &many).unwrap_err();
    assert!(faults.all().len() <= FAULTS_MAX);
    let missing = Document::read(std::path::Path::new("/no/such/file")).unwrap_err();
    assert!(missing.to_string().starts_with("/no/such/file: cannot be read: "), "{missing}");
}

#[test]
fn a_complaint_that_names_an_option_is_told_at_its_key() {
    let document = Document::parse("app.toml", "[web]\ngzip = true\nbody_max = 1").unwrap();
    let web = document.root().table("web").unwrap().unwrap();
    let told = |complaint| web.complaint(complaint).to_string();
    assert_eq!(told("--body-max: too little"), "app.toml:3:12: \"body-max\": too little");
    assert_eq!(told("--path: none"), "app.toml:1:1: \"path\": none");
    let elsewhere = "make it, or name another with --body-max";
    assert_eq!(told(elsewhere), format!("app.toml:3:12: {elsewhere}"));
    assert_eq!(told("no luck"), "app.toml:1:1: no luck");
    let report = web.complaint("--gzip: no").report();
    let expected = "app.toml:2:8: \"gzip\": no\n  |\n2 | gzip = true\n  |        ^";
    assert_eq!(report, expected);
}

#[test]
fn sections_are_of_the_kind_that_is_wanted() {
    let document = Document::parse("app.toml", "web = 1\nlisten = [1]\nname = true").unwrap();
    let root = document.root();
    let told = root.table("web").unwrap_err().to_string();
    assert_eq!(told, "app.toml:1:7: \"web\" is a table, as in [web], and not 1");
    assert!(
        root.texts("listen")
            .unwrap_err()
            .to_string()
            .starts_with("app.toml:2:11: \"listen\" is text")
    );
    assert!(
        root.text("name").unwrap_err().to_string().starts_with("app.toml:3:8: \"name\" is text")
    );
    assert!(root.table("none").unwrap().is_none() && root.text("none").unwrap().is_none());
    let unknown = root.unknown_keys(&["wob", "listen", "name"]);
    assert_eq!(unknown.len(), 1);
    assert_eq!((unknown[0].line, unknown[0].column), (1, 1));
}

#[test]
fn only_what_is_another_has_changed() {
    let told = |old: &str, new: &str| {
        let (old, new) =
            (Document::parse("old", old).unwrap(), Document::parse("new", new).unwrap());
        changes(old.root(), new.root()).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert!(told("a = 1\n[b]\nc = 'x'", "# moved\n[b]\nc = \"x\"\n").contains(&"- a".to_owned()));
    assert!(told("a = 1\nb = [1, 2]", "b = [1, 2] # the same\na = 1").is_empty());
    assert_eq!(
        told(
            "[s.web]\nkind = 'web'\n[s.old]",
            "[s.web]\nkind = 'echo'\nlog = true\n[s.new]\nx = 1"
        ),
        [
            "~ s.web.kind: \"web\" -> \"echo\"",
            "+ s.web.log = true",
            "- s.old",
            "+ s.new = { x = 1 }"
        ],
    );
}

proptest! {
    #[test]
    fn no_text_is_too_odd(text in "[a-z=\\[\\].\"'#\\n {},0-9é]{0,80}") {
        match Document::parse("a.toml", &text) {
            Ok(document) => {
                let _ = document.root().options::<Web>();
                prop_assert!(changes(document.root(), document.root()).is_empty());
            }
            Err(faults) => {
                let lines = text.split('\n').count();
                for fault in faults.all() {
                    prop_assert!(fault.line >= 1 && fault.line <= lines, "{}", fault);
                    prop_assert!(fault.column >= 1, "{}", fault);
                    fault.report();
                }
            }
        }
    }
}
