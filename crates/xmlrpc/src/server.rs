//! Methods for others to call.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use ropewalk_deferred::{Deferred, Failure, deferred_list};
use ropewalk_http::header::{ALLOW, CONTENT_TYPE};
use ropewalk_http::{
    Body, HeaderValue, Method as HttpMethod, Reply, Request, Resource, Response, StatusCode,
};

use crate::{Answer, Call, Fault, Limits, Value};

/// Several calls in one.
const MULTICALL: &str = "system.multicall";

type Handler = Box<dyn FnMut(Vec<Value>) -> Deferred<Value>>;

/// What a method may answer with: a value or what becomes one, a `Result`, or a `Deferred` of one.
///
/// A [`Fault`] as a failure is the caller's answer; any other is logged, and the caller hears that there was
/// one.
pub trait IntoAnswer {
    /// The answer, now or later.
    fn into_answer(self) -> Deferred<Value>;
}

macro_rules! answer_with {
    ($($type:ty),* $(,)?) => {$(
        impl IntoAnswer for $type {
            fn into_answer(self) -> Deferred<Value> {
                Deferred::succeed(self.into())
            }
        }
    )*};
}

answer_with!(Value, i32, i64, bool, String, &'static str, f64, Vec<Value>, ());

impl<T: Into<Value>, E: Into<Failure>> IntoAnswer for Result<T, E> {
    fn into_answer(self) -> Deferred<Value> {
        Deferred::ready(self.map(Into::into).map_err(Into::into))
    }
}

impl<T: Into<Value> + 'static> IntoAnswer for Deferred<T> {
    fn into_answer(self) -> Deferred<Value> {
        self.map(Into::into)
    }
}

struct Entry {
    handler: Handler,
    help: String,
    /// For each way to call it: what it answers, and what it wants.
    signatures: Vec<Vec<String>>,
}

/// Methods by name, as a resource to which calls are posted.
///
/// It answers `system.listMethods`, `system.methodHelp` and `system.methodSignature` about them by itself, and
/// `system.multicall`: several calls in one, made in their order, each with its own answer or fault.
pub struct Methods(Rc<RefCell<Inner>>);

struct Inner {
    entries: BTreeMap<String, Entry>,
    limits: Limits,
}

impl Methods {
    /// None yet.
    pub fn new() -> Self {
        let inner = Inner { entries: BTreeMap::new(), limits: Limits::default() };
        Self(Rc::new(RefCell::new(inner)))
    }

    /// Takes no more than this of a call.
    #[must_use]
    pub fn limits(self, limits: Limits) -> Self {
        self.0.borrow_mut().limits = limits;
        self
    }

    /// Answers calls to `name`.
    #[must_use]
    pub fn method<A: IntoAnswer>(
        self,
        name: &str,
        answer: impl FnMut(Vec<Value>) -> A + 'static,
    ) -> Self {
        self.method_with(name, "", &[], answer)
    }

    /// The same, with what `system.methodHelp` says of it and what `system.methodSignature` does: for each
    /// way to call it, the types of its answer and of its parameters.
    #[must_use]
    pub fn method_with<A: IntoAnswer>(
        self,
        name: &str,
        help: &str,
        signatures: &[&[&str]],
        mut answer: impl FnMut(Vec<Value>) -> A + 'static,
    ) -> Self {
        let owned = |types: &&[&str]| types.iter().map(|name| (*name).to_owned()).collect();
        let entry = Entry {
            handler: Box::new(move |params| answer(params).into_answer()),
            help: help.to_owned(),
            signatures: signatures.iter().map(owned).collect(),
        };
        self.0.borrow_mut().entries.insert(name.to_owned(), entry);
        self
    }
}

impl Inner {
    fn call(&mut self, call: Call) -> Deferred<Value> {
        let Call { method, params } = call;
        if let Some(entry) = self.entries.get_mut(&method) {
            return (entry.handler)(params);
        }
        if method == MULTICALL {
            return self.call_many(&params);
        }
        self.introspect(&method, &params).into_answer()
    }

    /// Makes each call of a list; what becomes of it is an array with the answer, or a fault's struct.
    fn call_many(&mut self, params: &[Value]) -> Deferred<Value> {
        let [Value::Array(calls)] = params else {
            return Deferred::fail(Fault::new(Fault::FAILURE, "an array of calls is wanted"));
        };
        let answers = calls.iter().map(|call| match one_of_many(call) {
            Ok(call) => self.call(call),
            Err(fault) => Deferred::fail(fault),
        });
        let answers: Vec<_> = answers.collect();
        deferred_list(answers).map(|answers| {
            Value::Array(
                answers
                    .into_iter()
                    .map(|answer| match answer {
                        Ok(value) => Value::Array(vec![value]),
                        Err(failure) => {
                            let fault = fault_of(&failure);
                            Value::of([
                                ("faultCode", Value::from(fault.code)),
                                ("faultString", Value::from(fault.text)),
                            ])
                        }
                    })
                    .collect(),
            )
        })
    }

    fn introspect(&self, method: &str, params: &[Value]) -> Result<Value, Fault> {
        const OWN: [&str; 4] =
            ["system.listMethods", "system.methodHelp", "system.methodSignature", MULTICALL];
        if method == OWN[0] {
            let names = self.entries.keys().map(String::as_str).chain(OWN);
            return Ok(Value::Array(names.map(Value::from).collect()));
        }
        let no_such =
            |name: &str| Fault::new(Fault::NOT_FOUND, format!("procedure {name} not found"));
        if method != OWN[1] && method != OWN[2] {
            return Err(no_such(method));
        }
        let [Value::String(name)] = params else {
            return Err(Fault::new(Fault::FAILURE, "the name of a method is wanted"));
        };
        if OWN.contains(&name.as_str()) {
            let is_help = method == OWN[1];
            return Ok(if is_help { Value::from("") } else { Value::Array(Vec::new()) });
        }
        let entry = self.entries.get(name).ok_or_else(|| no_such(name))?;
        if method == OWN[1] {
            return Ok(entry.help.as_str().into());
        }
        let types = |types: &Vec<String>| types.iter().map(|name| name.as_str().into()).collect();
        Ok(Value::Array(entry.signatures.iter().map(|each| Value::Array(types(each))).collect()))
    }
}

impl Default for Methods {
    fn default() -> Self {
        Self::new()
    }
}

impl Resource for Methods {
    fn render(&mut self, request: Request) -> Reply {
        if *request.method() != HttpMethod::POST {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
            return Reply::Now(response);
        }
        let (inner, limits) = (Rc::clone(&self.0), self.0.borrow().limits);
        let called = request.into_body().collect(limits.bytes_max).add_callback(move |bytes| {
            let called = match Call::decode(&bytes, &limits) {
                // A method that is called in the middle of another's answer finds the house busy.
                Ok(call) => match inner.try_borrow_mut() {
                    Ok(mut inner) => inner.call(call),
                    Err(_) => Deferred::fail(Fault::new(Fault::FAILURE, "busy")),
                },
                Err(bad) => Deferred::fail(Fault::new(Fault::FAILURE, format!("no call: {bad}"))),
            };
            called.add_both(|result| Ok::<_, Failure>(response(result)))
        });
        Reply::Later(called)
    }
}

impl fmt::Debug for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Methods")
            .field("names", &self.0.borrow().entries.keys())
            .finish_non_exhaustive()
    }
}

/// A call among several: `methodName` and `params`.
fn one_of_many(call: &Value) -> Result<Call, Fault> {
    let wrong = |what: &str| Fault::new(Fault::FAILURE, format!("no call: {what}"));
    let Value::Struct(members) = call else { return Err(wrong("a struct is wanted")) };
    let Some(Value::String(method)) = members.get("methodName") else {
        return Err(wrong("methodName is wanted"));
    };
    // It could call for itself without end.
    if method == MULTICALL {
        return Err(wrong("system.multicall is not to be called by itself"));
    }
    match members.get("params") {
        Some(Value::Array(params)) => Ok(Call { method: method.clone(), params: params.clone() }),
        _ => Err(wrong("params are wanted, as an array")),
    }
}

/// What a caller hears of a failure.
fn fault_of(failure: &Failure) -> Fault {
    match failure.check::<Fault>() {
        Some(fault) => fault.clone(),
        None => {
            tracing::error!(target: "ropewalk::xmlrpc", "a method failed: {failure:?}");
            Fault::new(Fault::FAILURE, "error")
        }
    }
}

fn response(result: Result<Value, Failure>) -> Response {
    let answer = Answer(result.map_err(|failure| fault_of(&failure)));
    let bytes = answer.encode().or_else(|unspeakable| {
        tracing::error!(target: "ropewalk::xmlrpc", "an answer cannot be said: {unspeakable}");
        Answer(Err(Fault::new(Fault::FAILURE, "the answer cannot be said"))).encode()
    });
    let mut response = Response::new(bytes.unwrap_or_default().into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/xml"));
    response
}
