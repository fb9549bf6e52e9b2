//! The attribute `#[ropewalk_trial::test]`; it is documented where it is used, in `ropewalk-trial`.

#![forbid(unsafe_code)]

use proc_macro::{Delimiter, Group, Ident, Literal, Punct, Spacing, Span, TokenStream, TokenTree};

/// Makes a test of a function that is given a fresh reactor.
///
/// What it can do, and what it checks, is said in `ropewalk_trial`, which exports it.
#[proc_macro_attribute]
pub fn test(settings: TokenStream, item: TokenStream) -> TokenStream {
    let parsed = Settings::parse(settings)
        .and_then(|settings| Function::parse(item.clone()).map(|function| (settings, function)));
    match parsed {
        Ok((settings, function)) => function.expand(&settings),
        Err(Fault { what, at }) => {
            let mut out = error(&what, at);
            out.extend(item);
            out
        }
    }
}

/// What is wrong with a use of the attribute, and where.
struct Fault {
    what: String,
    at: Span,
}

impl Fault {
    fn new(what: impl Into<String>, at: Span) -> Self {
        Self { what: what.into(), at }
    }
}

/// What stands in the attribute's parentheses: names with a value, each a call on the settings.
struct Settings(Vec<(Ident, Option<TokenStream>)>);

impl Settings {
    fn parse(tokens: TokenStream) -> Result<Self, Fault> {
        let mut settings = Vec::new();
        let mut tokens = tokens.into_iter().peekable();
        while let Some(token) = tokens.next() {
            let TokenTree::Ident(name) = token else {
                return Err(Fault::new("the name of a setting was expected", token.span()));
            };
            let takes_value = match name.to_string().as_str() {
                "simulated" => false,
                "driver" | "seeds" | "deadline" => true,
                _ => {
                    let known = "simulated, seeds = N, driver = \"NAME\" and deadline = SECONDS";
                    return Err(Fault::new(format!("the settings are {known}"), name.span()));
                }
            };
            let mut value = None;
            if is_punct(tokens.peek(), '=') {
                tokens.next();
                let mut given = TokenStream::new();
                while tokens.peek().is_some() && !is_punct(tokens.peek(), ',') {
                    given.extend(tokens.next());
                }
                value = Some(given);
            }
            if value.is_some() != takes_value {
                let wants = if takes_value { "wants a value" } else { "has no value" };
                return Err(Fault::new(format!("{name} {wants}"), name.span()));
            }
            settings.push((name, value));
            if tokens.peek().is_some() && !is_punct(tokens.next().as_ref(), ',') {
                return Err(Fault::new("a comma was expected", Span::call_site()));
            }
        }
        Ok(Self(settings))
    }
}

/// The function that becomes a test.
struct Function {
    attributes: TokenStream,
    is_async: bool,
    name: Ident,
    arguments: usize,
    /// All of it but the attributes.
    item: TokenStream,
}

impl Function {
    fn parse(tokens: TokenStream) -> Result<Self, Fault> {
        let (mut attributes, mut item) = (TokenStream::new(), TokenStream::new());
        let mut tokens = tokens.into_iter().peekable();
        while is_punct(tokens.peek(), '#') {
            attributes.extend(tokens.next());
            attributes.extend(tokens.next());
        }
        let (mut is_async, mut name, mut arguments) = (false, None, None);
        let mut after_fn = false;
        for token in tokens {
            match &token {
                TokenTree::Ident(word) if name.is_none() && after_fn => name = Some(word.clone()),
                TokenTree::Ident(word) if name.is_none() => {
                    let word = word.to_string();
                    is_async |= word == "async";
                    after_fn = word == "fn";
                }
                TokenTree::Group(group)
                    if name.is_some()
                        && arguments.is_none()
                        && group.delimiter() == Delimiter::Parenthesis =>
                {
                    arguments = Some(count(group));
                }
                _ => (),
            }
            item.extend([token]);
        }
        match (name, arguments) {
            (Some(name), Some(arguments)) => {
                Ok(Self { attributes, is_async, name, arguments, item })
            }
            _ => Err(Fault::new("a function was expected", Span::call_site())),
        }
    }

    /// `#[test] fn name() { fn name(…) {…} harness::run(settings, body) }`
    fn expand(self, settings: &Settings) -> TokenStream {
        let Self { attributes, is_async, name, arguments, item } = self;
        let mut arms = String::from(
            "::ropewalk_trial::harness::Settings::new(concat!(module_path!(), \"::\", stringify!(",
        );
        arms.push_str(&name.to_string());
        arms.push_str(")))");
        for (setting, value) in &settings.0 {
            let value = value.as_ref().map(ToString::to_string).unwrap_or_default();
            arms.extend([".", &setting.to_string(), "(", &value, ")"]);
        }
        let given = "::ropewalk_trial::harness::Given::given(trial), ".repeat(arguments);
        let call = format!("{name}({given})");
        let run = if is_async {
            format!("::ropewalk_trial::harness::run_async(&{arms}, |trial| {call});")
        } else {
            format!("::ropewalk_trial::harness::run(&{arms}, |trial| {call});")
        };
        let run: TokenStream = run.parse().expect("what is written above is Rust");
        // What a test is given is its own, whether it consumes it or not.
        let allowed = "#[allow(clippy::needless_pass_by_value, clippy::unused_async)]";
        let mut body: TokenStream = allowed.parse().expect("what is written above is Rust");
        body.extend(item);
        body.extend(run);
        let mut out = attributes;
        out.extend("#[::core::prelude::v1::test]".parse::<TokenStream>().into_iter().flatten());
        out.extend([TokenTree::Ident(Ident::new("fn", Span::call_site())), name.into()]);
        let nothing = Group::new(Delimiter::Parenthesis, TokenStream::new());
        let body = Group::new(Delimiter::Brace, body);
        out.extend([TokenTree::Group(nothing), TokenTree::Group(body)]);
        out
    }
}

/// How many arguments a list has.
fn count(arguments: &Group) -> usize {
    let mut count = 0;
    let mut is_open = false;
    for token in arguments.stream() {
        if is_punct(Some(&token), ',') {
            is_open = false;
        } else if !is_open {
            is_open = true;
            count += 1;
        }
    }
    count
}

fn is_punct(token: Option<&TokenTree>, wanted: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == wanted)
}

/// `compile_error!("…");` at a place.
fn error(what: &str, at: Span) -> TokenStream {
    let mut message = Literal::string(what);
    message.set_span(at);
    let message = TokenStream::from(TokenTree::Literal(message));
    let mut mark = Punct::new('!', Spacing::Alone);
    mark.set_span(at);
    let mut out = TokenStream::from(TokenTree::Ident(Ident::new("compile_error", at)));
    out.extend([
        TokenTree::Punct(mark),
        TokenTree::Group(Group::new(Delimiter::Parenthesis, message)),
        TokenTree::Punct(Punct::new(';', Spacing::Alone)),
    ]);
    out
}
