//! Why there is no host.

use std::error::Error;
use std::fmt;
use std::time::Duration;

/// Why a host cannot be built. It names the service that it is about, and says what to do.
///
/// ```
/// use desist_host::Host;
///
/// let host = Host::builder().service("http", |_stop| async {}).after("bd");
/// let error = host.service("db", |_stop| async {}).build().unwrap_err();
/// assert_eq!(error.service(), Some("http"));
/// assert_eq!(
///     error.to_string(),
///     "service `http` comes after `bd`, and there is none of that name; there are `http` and `db`"
/// );
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildError {
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    NoServices,
    NoName,
    TwoOfAName(String),
    Unknown { service: String, after: String, known: Vec<String> },
    Circle(Vec<String>),
    NoSuchSetting(&'static str),
    Zero { service: String, setting: &'static str },
    NotRestartable(String),
    NoTime,
    DelayTooLong { delay: Duration, most: Duration, whole: Duration },
}

impl BuildError {
    const fn of(kind: Kind) -> Self {
        Self { kind }
    }

    pub(crate) fn no_services() -> Self {
        Self::of(Kind::NoServices)
    }

    pub(crate) fn no_name() -> Self {
        Self::of(Kind::NoName)
    }

    pub(crate) fn two_of_a_name(name: &str) -> Self {
        Self::of(Kind::TwoOfAName(name.to_owned()))
    }

    pub(crate) fn unknown(service: &str, after: &str, known: Vec<String>) -> Self {
        Self::of(Kind::Unknown { service: service.to_owned(), after: after.to_owned(), known })
    }

    pub(crate) fn circle(names: Vec<String>) -> Self {
        Self::of(Kind::Circle(names))
    }

    pub(crate) fn no_such_setting(setting: &'static str) -> Self {
        Self::of(Kind::NoSuchSetting(setting))
    }

    pub(crate) fn zero(service: &str, setting: &'static str) -> Self {
        Self::of(Kind::Zero { service: service.to_owned(), setting })
    }

    pub(crate) fn not_restartable(service: &str) -> Self {
        Self::of(Kind::NotRestartable(service.to_owned()))
    }

    pub(crate) fn no_time() -> Self {
        Self::of(Kind::NoTime)
    }

    pub(crate) fn delay_too_long(delay: Duration, most: Duration, whole: Duration) -> Self {
        Self::of(Kind::DelayTooLong { delay, most, whole })
    }

    /// The service that it is about, if it is about one.
    ///
    /// ```
    /// use desist_host::Host;
    /// use std::time::Duration;
    ///
    /// let host = Host::builder().service("db", |_stop| async {}).grace(Duration::ZERO);
    /// assert_eq!(host.build().unwrap_err().service(), Some("db"));
    /// ```
    #[must_use]
    pub fn service(&self) -> Option<&str> {
        match &self.kind {
            Kind::TwoOfAName(service)
            | Kind::Unknown { service, .. }
            | Kind::Zero { service, .. }
            | Kind::NotRestartable(service) => Some(service),
            Kind::Circle(names) => names.first().map(String::as_str),
            _ => None,
        }
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::NoServices => {
                f.write_str("a host without services has nothing to run; add one with `service`")
            }
            Kind::NoName => f.write_str(
                "a service without a name cannot be told of; give it one that is not empty",
            ),
            Kind::TwoOfAName(name) => {
                write!(f, "there are two services `{name}`; give one of them another name")
            }
            Kind::Unknown { service, after, known } => {
                write!(
                    f,
                    "service `{service}` comes after `{after}`, and there is none of that name; "
                )?;
                f.write_str(if known.len() == 1 { "there is " } else { "there are " })?;
                for (place, name) in known.iter().enumerate() {
                    let before = match place {
                        0 => "",
                        _ if place + 1 == known.len() => " and ",
                        _ => ", ",
                    };
                    write!(f, "{before}`{name}`")?;
                }
                Ok(())
            }
            Kind::Circle(names) => {
                f.write_str("services come after each other in a circle: ")?;
                for name in names {
                    write!(f, "`{name}` after ")?;
                }
                let first = names.first().map_or("", String::as_str);
                write!(f, "`{first}`; take one `after` out")
            }
            Kind::NoSuchSetting(setting) => write!(
                f,
                "`{setting}` is a setting of the service added before it, and there is none yet; \
                 add the service first"
            ),
            Kind::Zero { service, setting } => write!(
                f,
                "service `{service}` has a `{setting}` of zero, in which nothing can be done; \
                 give it some time, or leave the setting out"
            ),
            Kind::NotRestartable(service) => write!(
                f,
                "service `{service}` is to be restarted, and its closure can be called only once; \
                 add it with `restartable` in the place of `service`"
            ),
            Kind::NoTime => f.write_str(
                "a `shutdown_timeout` of zero leaves no time to stop; give it at least a second",
            ),
            Kind::DelayTooLong { delay, most, whole } => write!(
                f,
                "a `drain_delay` of {delay:?} leaves too little of the `shutdown_timeout` of \
                 {whole:?}; take at most {most:?}, or a longer `shutdown_timeout`"
            ),
        }
    }
}

impl Error for BuildError {}
