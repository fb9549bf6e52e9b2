use std::fmt;
use std::ops::Range;
use std::rc::Rc;

use crate::bare;
use crate::description::{Description, Token};
use crate::error::{EndpointError, Fault};

/// How many endpoints may stand one in another.
pub const NESTING_MAX: usize = 8;

/// The kinds of endpoint that a program knows, each with what makes a `T` of its arguments.
///
/// It is a value: whoever reads strings holds it. Those of this crate come from
/// [`ServerDescription::schemes`](crate::ServerDescription::schemes) and
/// [`ClientDescription::schemes`](crate::ClientDescription::schemes); a crate that has more adds
/// them after a [`map`](Self::map) to a type that has room for both.
///
/// ```
/// use ropewalk_endpoint::{Scheme, Schemes, ServerDescription};
///
/// #[derive(Debug, PartialEq)]
/// enum Listener {
///     Socket(ServerDescription),
///     Stdio,
/// }
///
/// let schemes = ServerDescription::schemes()
///     .map(Listener::Socket)
///     .with(Scheme::new("stdio", "stdio", |_| Ok(Listener::Stdio)));
/// assert_eq!(schemes.read("stdio")?, Listener::Stdio);
/// assert!(matches!(schemes.read("tcp:80")?, Listener::Socket(_)));
/// # Ok::<(), ropewalk_endpoint::EndpointError>(())
/// ```
pub struct Schemes<T> {
    schemes: Vec<Scheme<T>>,
}

/// One kind of endpoint: its name, its arguments and what is made of them.
pub struct Scheme<T> {
    kind: &'static str,
    form: &'static str,
    /// Those that may stand by their place come first.
    parameters: Vec<&'static str>,
    positional: usize,
    /// Another name, and the parameter that it stands for.
    aliases: Vec<(&'static str, &'static str)>,
    /// Another endpoint follows the arguments.
    is_wrapping: bool,
    build: Box<Build<T>>,
}

/// Makes something of arguments, with the kinds that may stand inside.
type Build<T> = dyn Fn(&Arguments, &Schemes<T>) -> Result<T, Misread>;

/// What is wrong, and where the description begins that is to blame: it may stand inside another.
struct Misread {
    error: EndpointError,
    start: usize,
}

/// The arguments of one string, each found under its name.
pub struct Arguments {
    source: String,
    form: &'static str,
    found: Vec<(&'static str, Option<Token>)>,
    /// Where the endpoint begins that this one wraps.
    inner: usize,
    /// How many stand around this one.
    depth: usize,
}

impl<T: 'static> Schemes<T> {
    /// No kind at all.
    pub fn new() -> Self {
        Self { schemes: Vec::new() }
    }

    /// Adds a kind; one of the same name gives way.
    pub fn with(mut self, scheme: Scheme<T>) -> Self {
        self.schemes.retain(|known| !known.kind.eq_ignore_ascii_case(scheme.kind));
        self.schemes.push(scheme);
        self
    }

    /// The same kinds, with `into` applied to what they make. Those that wrap others wrap, as ever,
    /// those of these kinds.
    pub fn map<U>(self, into: impl Fn(T) -> U + Clone + 'static) -> Schemes<U> {
        let all = Rc::new(self);
        let map = |(index, scheme): (usize, &Scheme<T>)| {
            let (all, into) = (Rc::clone(&all), into.clone());
            Scheme {
                kind: scheme.kind,
                form: scheme.form,
                parameters: scheme.parameters.clone(),
                positional: scheme.positional,
                aliases: scheme.aliases.clone(),
                is_wrapping: scheme.is_wrapping,
                build: Box::new(move |arguments, _| {
                    (all.schemes[index].build)(arguments, &all).map(&into)
                }),
            }
        };
        Schemes { schemes: all.schemes.iter().enumerate().map(map).collect() }
    }

    /// The names of the kinds.
    pub fn kinds(&self) -> Vec<&'static str> {
        self.schemes.iter().map(|scheme| scheme.kind).collect()
    }

    /// Makes of a string what its kind makes of it.
    ///
    /// # Errors
    ///
    /// If the string is no endpoint of a known kind, with what to write instead where that shows.
    pub fn read(&self, source: &str) -> Result<T, EndpointError> {
        self.read_at(source, 0)
    }

    /// As [`read`](Self::read), inside of so many others.
    fn read_at(&self, source: &str, depth: usize) -> Result<T, EndpointError> {
        let whole = |fault| Err(EndpointError::new(source, 0..source.len(), fault));
        if let Some(url) = bare::url(source) {
            let instead = self.first_right(bare::instead_of_url(url));
            return whole(Fault::Url { instead });
        }
        if bare::is_path(source)
            && let Some(instead) = self.first_right(bare::instead_of_path(source))
        {
            return whole(Fault::BarePath { instead });
        }
        self.read_plainly(source, depth).map_err(|misread| self.with_advice(misread))
    }

    /// As [`read`](Self::read), without a thought about what else was meant.
    fn read_plainly(&self, source: &str, depth: usize) -> Result<T, Misread> {
        let whole = |error| Misread { error, start: 0 };
        let description: Description = source.parse().map_err(whole)?;
        let fault = |span, fault| Err(whole(EndpointError::new(source, span, fault)));
        let known = self.kinds();
        let Some(kind) = description.kind() else {
            return fault(0..source.len(), Fault::MissingKind { known });
        };
        if source.is_empty() {
            return fault(0..0, Fault::Empty { known });
        }
        let is_meant = |scheme: &&Scheme<T>| scheme.kind.eq_ignore_ascii_case(kind.text());
        let Some(scheme) = self.schemes.iter().find(is_meant) else {
            let nearest = nearest(kind.text(), &known);
            let kind_text = kind.text().to_owned();
            return fault(kind.span(), Fault::UnknownKind { kind: kind_text, nearest, known });
        };
        (scheme.build)(&scheme.bind(&description, depth).map_err(whole)?, self)
    }

    /// Reads what stands inside of another.
    fn read_inner(&self, outer: &Arguments) -> Result<T, Misread> {
        let start = outer.inner;
        if outer.depth + 1 >= NESTING_MAX {
            let span = start..outer.source.len();
            let error = EndpointError::new(&outer.source, span, Fault::DeepNesting);
            return Err(Misread { error, start: 0 });
        }
        self.read_plainly(&outer.source[start..], outer.depth + 1).map_err(|misread| Misread {
            error: misread.error.within(&outer.source, start),
            start: start + misread.start,
        })
    }

    /// Says what to write instead, where a string is one that newcomers write.
    fn with_advice(&self, Misread { error, start }: Misread) -> EndpointError {
        let source = &error.description()[start..];
        let advice = match error.fault() {
            _ if start > 0 && bare::url(source).is_some() => bare::url(source).map(|url| {
                let instead = self.first_right(bare::instead_of_url(url));
                (0..source.len(), Fault::Url { instead })
            }),
            Fault::UnknownKind { nearest: None, .. } => self
                .first_right(bare::instead_of_address(source))
                .map(|instead| (0..source.len(), Fault::BareAddress { instead })),
            Fault::Port => source
                .split_once(':')
                .filter(|(kind, _)| {
                    ["tcp", "tcp6"].iter().any(|tcp| kind.eq_ignore_ascii_case(tcp))
                })
                .and_then(|(_, address)| self.first_right(bare::instead_of_address(address)))
                .map(|instead| {
                    let span = error.span();
                    (span.start - start..span.end - start, Fault::HostBeforePort { instead })
                }),
            _ => None,
        };
        let ipv6 = || {
            let mut candidates = bare::instead_of_ipv6(source);
            let right = candidates.find(|(_, instead)| self.is_right(instead));
            right.map(|(span, instead)| (span, Fault::BareIpv6 { instead }))
        };
        match advice.or_else(ipv6) {
            Some((span, fault)) => {
                EndpointError::new(source, span, fault).within(error.description(), start)
            }
            None => error,
        }
    }

    fn first_right(&self, candidates: Vec<String>) -> Option<String> {
        candidates.into_iter().find(|candidate| self.is_right(candidate))
    }

    fn is_right(&self, candidate: &str) -> bool {
        bare::url(candidate).is_none() && self.read_plainly(candidate, 0).is_ok()
    }
}

impl<T: 'static> Default for Schemes<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for Schemes<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.schemes).finish()
    }
}

impl<T> Scheme<T> {
    /// A kind without arguments, for now. `form` shows how it is written.
    pub fn new(
        kind: &'static str,
        form: &'static str,
        build: impl Fn(&Arguments) -> Result<T, EndpointError> + 'static,
    ) -> Self {
        Self::of(kind, form, false, move |arguments, _| {
            build(arguments).map_err(|error| Misread { error, start: 0 })
        })
    }

    /// A kind that stands around another endpoint, of any kind that is known where it is read. That
    /// one's description follows the arguments, none of which may stand behind it:
    /// `haproxy:trust=10.0.0.0/8:tcp:80`.
    pub fn wrapping(
        kind: &'static str,
        form: &'static str,
        build: impl Fn(&Arguments, T) -> Result<T, EndpointError> + 'static,
    ) -> Self
    where
        T: 'static,
    {
        Self::of(kind, form, true, move |arguments, schemes: &Schemes<T>| {
            let inner = schemes.read_inner(arguments)?;
            build(arguments, inner).map_err(|error| Misread { error, start: 0 })
        })
    }

    fn of(
        kind: &'static str,
        form: &'static str,
        is_wrapping: bool,
        build: impl Fn(&Arguments, &Schemes<T>) -> Result<T, Misread> + 'static,
    ) -> Self {
        let (parameters, aliases, build) = (Vec::new(), Vec::new(), Box::new(build));
        Self { kind, form, parameters, positional: 0, aliases, is_wrapping, build }
    }

    /// A kind that has other endpoints among its arguments, which [`Arguments::endpoint`] reads with the
    /// schemes that are known there.
    pub fn containing(
        kind: &'static str,
        form: &'static str,
        build: impl Fn(&Arguments, &Schemes<T>) -> Result<T, EndpointError> + 'static,
    ) -> Self
    where
        T: 'static,
    {
        Self::of(kind, form, false, move |arguments, schemes| {
            build(arguments, schemes).map_err(|error| Misread { error, start: 0 })
        })
    }

    /// Adds arguments that may stand by their place, in this order, or have their name.
    pub fn positional(mut self, names: &[&'static str]) -> Self {
        self.parameters.splice(self.positional..self.positional, names.iter().copied());
        self.positional += names.len();
        self
    }

    /// Adds arguments that must have their name.
    pub fn named(mut self, names: &[&'static str]) -> Self {
        self.parameters.extend(names);
        self
    }

    /// Lets `other` stand for the argument called `name`.
    pub fn alias(mut self, other: &'static str, name: &'static str) -> Self {
        self.aliases.push((other, name));
        self
    }

    /// Finds for each argument the parameter that it is for.
    fn bind(&self, description: &Description, depth: usize) -> Result<Arguments, EndpointError> {
        let source = description.source();
        let mut inner = source.len();
        let mut found: Vec<_> = self.parameters.iter().map(|name| (*name, None)).collect();
        let mut places = 0..self.positional;
        let mut has_kind = false;
        for argument in description.arguments() {
            if argument.keyword().is_none() && !has_kind {
                has_kind = true;
                continue;
            }
            let index = match argument.keyword() {
                Some(keyword) => self.named_by(keyword, source)?,
                None => match places.find(|&place| !self.is_wrapping || found[place].1.is_none()) {
                    Some(index) => index,
                    None if self.is_wrapping => {
                        inner = argument.value().span().start;
                        break;
                    }
                    None => {
                        let fault = Fault::ExtraArgument { form: self.form };
                        return Err(EndpointError::new(source, argument.value().span(), fault));
                    }
                },
            };
            let (name, place) = &mut found[index];
            if place.replace(argument.value().clone()).is_some() {
                let span = argument.keyword().unwrap_or(argument.value()).span();
                return Err(EndpointError::new(source, span, Fault::DuplicateArgument { name }));
            }
        }
        if self.is_wrapping && inner == source.len() {
            let fault = Fault::MissingInner { form: self.form };
            return Err(EndpointError::new(source, inner..inner, fault));
        }
        Ok(Arguments { source: source.to_owned(), form: self.form, found, inner, depth })
    }

    fn named_by(&self, keyword: &Token, source: &str) -> Result<usize, EndpointError> {
        let text = keyword.text();
        let alias = self.aliases.iter().find(|(other, _)| *other == text);
        let text = alias.map_or(text, |(_, name)| name);
        self.parameters.iter().position(|name| *name == text).ok_or_else(|| {
            let fault = Fault::UnknownKeyword {
                keyword: text.to_owned(),
                nearest: nearest(text, &self.parameters),
                known: self.parameters.clone(),
            };
            EndpointError::new(source, keyword.span(), fault)
        })
    }
}

impl<T> fmt::Debug for Scheme<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Scheme").field(&self.form).finish()
    }
}

impl Arguments {
    /// The argument called `name`, if it is there, read by `read`.
    ///
    /// # Errors
    ///
    /// What `read` finds wrong, with the argument's place.
    ///
    /// # Panics
    ///
    /// If the scheme has no argument of this name.
    pub fn optional<V>(
        &self,
        name: &str,
        read: impl FnOnce(&str) -> Result<V, Fault>,
    ) -> Result<Option<V>, EndpointError> {
        let read = |token: &Token| read(token.text()).map_err(|fault| self.fault(name, fault));
        self.find(name).1.as_ref().map(read).transpose()
    }

    /// The argument called `name`, which must be there, read by `read`.
    ///
    /// # Errors
    ///
    /// If the argument is missing, or what `read` finds wrong.
    ///
    /// # Panics
    ///
    /// If the scheme has no argument of this name.
    pub fn required<V>(
        &self,
        name: &str,
        read: impl FnOnce(&str) -> Result<V, Fault>,
    ) -> Result<V, EndpointError> {
        let missing = || Fault::MissingArgument { name: self.find(name).0, form: self.form };
        self.optional(name, read)?.ok_or_else(|| self.fault(name, missing()))
    }

    /// The endpoint that is the argument called `name`, if it is there.
    ///
    /// # Errors
    ///
    /// What is wrong with it, with the argument's place.
    ///
    /// # Panics
    ///
    /// If the scheme has no argument of this name.
    pub fn endpoint<T: 'static>(
        &self,
        name: &str,
        schemes: &Schemes<T>,
    ) -> Result<Option<T>, EndpointError> {
        self.optional(name, |text| {
            if self.depth + 1 >= NESTING_MAX {
                return Err(Fault::DeepNesting);
            }
            let read = schemes.read_at(text, self.depth + 1);
            read.map_err(|error| Fault::Inner(Box::new(error)))
        })
    }

    /// A fault of the argument called `name`; if it is not there, at the string's end.
    ///
    /// # Panics
    ///
    /// If the scheme has no argument of this name.
    pub fn fault(&self, name: &str, fault: Fault) -> EndpointError {
        let end: Range<usize> = self.source.len()..self.source.len();
        let span = self.find(name).1.as_ref().map_or(end, Token::span);
        EndpointError::new(&self.source, span, fault)
    }

    fn find(&self, name: &str) -> &(&'static str, Option<Token>) {
        let found = self.found.iter().find(|(known, _)| *known == name);
        found.unwrap_or_else(|| panic!("{} has no argument {name}", self.form))
    }
}

impl fmt::Debug for Arguments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.found.iter().map(|(name, token)| (name, token))).finish()
    }
}

/// The word that is spelled most like `text`, if any is: one mistake in every third letter.
fn nearest(text: &str, words: &[&'static str]) -> Option<&'static str> {
    let length_max = words.iter().map(|word| 2 * word.len()).max()?;
    if text.len() > length_max {
        return None;
    }
    let text: Vec<char> = text.to_lowercase().chars().collect();
    let measured = words.iter().map(|word| {
        let lower: Vec<char> = word.to_lowercase().chars().collect();
        (mistakes(&text, &lower), *word)
    });
    let near = measured.filter(|(mistakes, word)| *mistakes <= (word.len() / 3).max(1));
    near.min_by_key(|(mistakes, _)| *mistakes).map(|(_, word)| word)
}

/// How many letters to add, drop, change or swap with their neighbour to turn `a` into `b`.
fn mistakes(a: &[char], b: &[char]) -> usize {
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let changed = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let is_swap = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
                let swapped = if is_swap { rows[i - 2][j - 2] + 1 } else { changed };
                changed.min(swapped).min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1)
            };
        }
    }
    rows[a.len()][b.len()]
}
