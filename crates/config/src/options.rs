//! Sections that are read as the options of a command.

use std::collections::{BTreeMap, BTreeSet};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgMatches, Args, Command};

use crate::{Entry, Fault, Faults, Item, Table, Value};

impl Table {
    /// The options that the keys of this table say.
    ///
    /// # Errors
    ///
    /// A fault for each key that is no option, or for the first value that its option does not take.
    pub fn options<T: Args>(&self) -> Result<T, Faults> {
        let matches = self.matches(T::augment_args(Command::new("options")))?;
        T::from_arg_matches(&matches)
            .map_err(|error| self.translate(&error, &BTreeMap::new()).into())
    }

    /// The same for a command whose options are known as it runs only.
    ///
    /// # Errors
    ///
    /// As [`options`](Self::options).
    pub fn matches(&self, command: Command) -> Result<ArgMatches, Faults> {
        let mut command =
            command.no_binary_name(true).disable_help_flag(true).disable_version_flag(true);
        // Arguments can be named only once they are complete.
        command.build();
        let known: BTreeMap<String, &Arg> =
            command.get_arguments().map(|arg| (key(arg), arg)).collect();
        let words: BTreeSet<&str> = known.keys().map(String::as_str).collect();
        let (mut options, mut positions, mut faults) = (Vec::new(), Vec::new(), Vec::new());
        for entry in self.entries() {
            match known.get(&entry.key().replace('-', "_")) {
                None => faults.push(self.unknown_key(entry, &words)),
                Some(arg) => match self.words(entry, arg) {
                    Ok(words) if arg.is_positional() => positions.extend(words),
                    Ok(words) => options.extend(words),
                    Err(fault) => faults.push(fault),
                },
            }
        }
        Faults::none_of(faults)?;
        let keys = known.iter().map(|(key, arg)| (shown(arg), key.clone())).collect();
        if !positions.is_empty() {
            options.push("--".to_owned());
            options.append(&mut positions);
        }
        command.try_get_matches_from(options).map_err(|error| self.translate(&error, &keys).into())
    }

    /// The words on the command line that a key stands for.
    fn words(&self, entry: &Entry, arg: &Arg) -> Result<Vec<String>, Fault> {
        let item = entry.item();
        if !arg.get_action().takes_values() {
            return match item.value() {
                Value::Boolean(true) => Ok(vec![shown_long(arg)]),
                Value::Boolean(false) => Ok(Vec::new()),
                _ => {
                    let message = format!("{:?} is true or false, and not {item}", entry.key());
                    Err(self.fault_at(item, message))
                }
            };
        }
        let values = self.values(item, arg)?;
        let many = matches!(arg.get_action(), clap::ArgAction::Append)
            || arg.get_num_args().is_some_and(|range| range.max_values() > 1);
        if values.len() > 1 && !many {
            let message = format!("{:?} has one value, and not several", entry.key());
            return Err(self.fault_at(item, message));
        }
        let word = |value: String| {
            if arg.is_positional() { value } else { format!("{}={value}", shown_long(arg)) }
        };
        Ok(values.into_iter().map(word).collect())
    }

    fn values(&self, item: &Item, arg: &Arg) -> Result<Vec<String>, Fault> {
        Ok(match item.value() {
            Value::Text(text) | Value::Plain(text) => vec![text.clone()],
            Value::Boolean(is_so) => vec![is_so.to_string()],
            Value::List(items) => {
                let values = items.iter().map(|item| self.values(item, arg));
                values.collect::<Result<Vec<_>, _>>()?.concat()
            }
            Value::Table(table) => {
                let Some(between) = between(arg) else {
                    let message = format!("expected one value or a list, and not {item}");
                    return Err(self.fault_at(item, message));
                };
                let mut values = Vec::new();
                for entry in table.entries() {
                    for value in self.values(entry.item(), arg)? {
                        values.push(format!("{}{between}{value}", entry.key()));
                    }
                }
                values
            }
        })
    }

    /// What clap complains of, at the key that it is about.
    fn translate(&self, error: &clap::Error, keys: &BTreeMap<String, String>) -> Fault {
        let about = match error.get(ContextKind::InvalidArg) {
            Some(ContextValue::String(shown)) => vec![shown.clone()],
            Some(ContextValue::Strings(shown)) => shown.clone(),
            _ => Vec::new(),
        };
        let key_of = |shown: &String| keys.get(shown).cloned().unwrap_or_else(|| shown.clone());
        let about: Vec<String> = about.iter().map(key_of).collect();
        let key = about.first().map_or("", String::as_str);
        let entry = self.entries().iter().find(|entry| entry.key().replace('-', "_") == key);
        let value = match error.get(ContextKind::InvalidValue) {
            Some(ContextValue::String(value)) => value.as_str(),
            _ => "",
        };
        let allowed = match error.get(ContextKind::ValidValue) {
            Some(ContextValue::Strings(words)) => words.as_slice(),
            _ => &[],
        };
        let message = match error.kind() {
            ErrorKind::InvalidValue if !allowed.is_empty() => {
                let near = crate::nearest(value, allowed.iter().map(String::as_str));
                match near {
                    Some(near) => format!("{key:?} cannot be {value:?}; did you mean {near:?}?"),
                    None => {
                        format!("{key:?} cannot be {value:?}; there are {}", allowed.join(", "))
                    }
                }
            }
            ErrorKind::InvalidValue => format!("{key:?} wants a value"),
            ErrorKind::ValueValidation => {
                let why = std::error::Error::source(error).map(ToString::to_string);
                format!("{key:?} cannot be {value:?}: {}", why.unwrap_or_default())
            }
            ErrorKind::MissingRequiredArgument => {
                let missing: Vec<_> = about.iter().map(|key| format!("{key:?}")).collect();
                format!("{} is missing in [{}]", missing.join(" and "), self.path())
            }
            ErrorKind::ArgumentConflict => {
                let prior = match error.get(ContextKind::PriorArg) {
                    Some(ContextValue::String(shown)) => key_of(shown),
                    Some(ContextValue::Strings(all)) => {
                        all.iter().map(key_of).collect::<Vec<_>>().join(", ")
                    }
                    _ => String::new(),
                };
                format!("{key:?} cannot stand beside {prior:?}")
            }
            _ => error.render().to_string().lines().next().unwrap_or_default().to_owned(),
        };
        match entry {
            // The very value, where there are several.
            Some(entry) => {
                let items = match entry.item().value() {
                    Value::List(items) => items.as_slice(),
                    _ => &[],
                };
                let is_it = |item: &&Item| matches!(item.value(), Value::Text(text) | Value::Plain(text) if text == value);
                self.fault_at(items.iter().find(is_it).unwrap_or(entry.item()), message)
            }
            None => self.fault(message),
        }
    }

    /// A complaint that names an option, as `--path: …` or in its words, at its key; others where the table begins.
    pub fn complaint(&self, complaint: &str) -> Fault {
        let words = complaint.split(|c: char| !c.is_alphanumeric() && c != '-');
        let named = words.filter_map(|word| word.strip_prefix("--"));
        let entry = named.into_iter().find_map(|option| {
            self.entries().iter().find(|entry| entry.key().replace('_', "-") == option)
        });
        let message = match complaint.strip_prefix("--").and_then(|rest| rest.split_once(':')) {
            Some((option, rest)) => format!("{option:?}:{rest}"),
            None => complaint.to_owned(),
        };
        match entry {
            Some(entry) => self.fault_at(entry.item(), message),
            None => self.fault(message),
        }
    }
}

/// The key that stands for an argument.
fn key(arg: &Arg) -> String {
    arg.get_long().unwrap_or(arg.get_id().as_str()).replace('-', "_")
}

/// The option on the command line.
fn shown_long(arg: &Arg) -> String {
    format!("--{}", arg.get_long().unwrap_or(arg.get_id().as_str()))
}

/// The argument as clap's errors name it.
fn shown(arg: &Arg) -> String {
    arg.to_string()
}

/// What stands between the halves of an option's value, where it has two.
fn between(arg: &Arg) -> Option<&'static str> {
    let names = arg.get_value_names()?;
    let name = names.first()?;
    if name.contains(": ") {
        Some(": ")
    } else if name.contains('=') {
        Some("=")
    } else {
        None
    }
}
