use ropewalk_http::proxy::{
    BadForwarded, BadVia, FORWARDED_HOPS_MAX, ForwardedHop, ForwardedNode, VIA_HOPS_MAX, ViaHop,
};

#[test]
fn forwarded_fields_are_lists_of_what_proxies_saw() {
    let hops = ForwardedHop::parse(
        b"For=\"[2001:db8:cafe::17]:4711\" ; by=\"_mine:_port\";host=\"a \\\"b\\\"\", ,for=unknown;secret=x",
    )
    .expect("a list");
    let [first, second] = &hops[..] else { panic!("{hops:?}") };
    let ip = "2001:db8:cafe::17".parse().expect("an address");
    assert_eq!(first.for_node, Some(ForwardedNode::Ip(ip, Some("4711".to_owned()))));
    let by = ForwardedNode::Obfuscated("_mine".to_owned(), Some("_port".to_owned()));
    assert_eq!(first.by_node, Some(by));
    assert_eq!(first.host.as_deref(), Some("a \"b\""));
    assert_eq!(second.others, [("secret".to_owned(), "x".to_owned())]);
    for hop in &hops {
        assert_eq!(
            ForwardedHop::parse(hop.to_string().as_bytes()).as_ref(),
            Ok(&vec![hop.clone()])
        );
    }
}

#[test]
fn what_is_wrong_with_a_forwarded_field_is_told() {
    for (text, bad) in [
        ("for", BadForwarded::Pair(0)),
        ("=x", BadForwarded::Pair(0)),
        ("for=", BadForwarded::Value(4)),
        ("for=\"x", BadForwarded::Value(4)),
        ("for=192.0.2.1:80", BadForwarded::Value(4)),
        ("for=1.2.3", BadForwarded::Node(4)),
        ("for=\"[::1]x\"", BadForwarded::Node(4)),
        ("for=\"1.2.3.4:123456\"", BadForwarded::Node(4)),
        ("proto=a;proto=b", BadForwarded::Twice(8)),
        ("a=b c=d", BadForwarded::Value(2)),
        ("a=\"b\" c", BadForwarded::Pair(6)),
    ] {
        assert_eq!(ForwardedHop::parse(text.as_bytes()), Err(bad), "{text}");
    }
    let many = |count| vec!["a=b"; count].join(",");
    assert!(ForwardedHop::parse(many(FORWARDED_HOPS_MAX).as_bytes()).is_ok());
    let over = ForwardedHop::parse(many(FORWARDED_HOPS_MAX + 1).as_bytes());
    assert_eq!(over, Err(BadForwarded::TooMany));
}

#[test]
fn via_fields_are_lists_of_those_whom_a_message_came_by() {
    let text = "1.0 fred, HTTP/1.1 [::1]:80 (a (b) \\) c), ,1.1 p.example.net";
    let hops = ViaHop::parse(text.as_bytes()).expect("a list");
    let shown: Vec<_> = hops.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["1.0 fred", "HTTP/1.1 [::1]:80 (a (b) \\) c)", "1.1 p.example.net"]);
    for (text, bad) in [
        ("1.1", BadVia::By(3)),
        ("1.1 ", BadVia::By(4)),
        ("a/b/c d", BadVia::Protocol(0)),
        ("(x) a", BadVia::Protocol(0)),
        ("1.1 a (b", BadVia::Comment(6)),
        ("1.1 a b", BadVia::Comma(6)),
        ("1.1 a (((((((((x)))))))))", BadVia::Comment(6)),
    ] {
        assert_eq!(ViaHop::parse(text.as_bytes()), Err(bad), "{text}");
    }
    let many = |count| vec!["1.1 a"; count].join(",");
    assert_eq!(
        ViaHop::parse(many(VIA_HOPS_MAX).as_bytes()).map(|hops| hops.len()),
        Ok(VIA_HOPS_MAX)
    );
    assert_eq!(ViaHop::parse(many(VIA_HOPS_MAX + 1).as_bytes()), Err(BadVia::TooMany));
}
