//! Recipes: how a host lives under Kubernetes, under systemd, in a container, in a test.
//!
//! # Which time is which
//!
//! | of | by | the same elsewhere |
//! |---|---|---|
//! | the whole stop | [`shutdown_timeout`](crate::HostBuilder::shutdown_timeout), 30 s | `terminationGracePeriodSeconds`, `TimeoutStopSec=` |
//! | serving on while traffic ebbs | [`drain_delay`](crate::HostBuilder::drain_delay), none | `preStop: sleep` |
//! | finishing what is in hand | [`drain_for`](crate::HostBuilder::drain_for), 10 s a service | |
//! | stopping, once asked | [`grace`](crate::HostBuilder::grace), 10 s a service | |
//! | starting | [`start_timeout`](crate::HostBuilder::start_timeout), 60 s a service | `startupProbe`, `TimeoutStartSec=` |
//!
//! Who kills a process counts from its own clock and cannot be asked. So let the host have
//! less than that gives: its last words need a moment, too.
//!
//! # Kubernetes
//!
//! When a pod is to go, two things happen at once: it is sent SIGTERM, and it is taken out of
//! the endpoints of its services. The second takes seconds until every proxy knows, and
//! until then requests come. So the host says at once that it is not ready, and serves on
//! for the [`drain_delay`](crate::HostBuilder::drain_delay), before anything is asked to
//! drain.
//!
//! ```yaml
//! spec:
//!   terminationGracePeriodSeconds: 40      # more than shutdown_timeout: 30 s, and a margin
//!   containers:
//!     - name: app
//!       ports: [{ containerPort: 8080 }]
//!       startupProbe:                      # until the services have started
//!         httpGet: { path: /readyz, port: 8080 }
//!         periodSeconds: 1
//!         failureThreshold: 120
//!       readinessProbe:
//!         httpGet: { path: /readyz, port: 8080 }
//!         periodSeconds: 2
//!         failureThreshold: 1
//!       livenessProbe:                     # not /readyz: one that drains is not to be killed
//!         httpGet: { path: /livez, port: 8080 }
//! ```
//!
//! ```no_run
//! # #[cfg(feature = "health")]
//! # {
//! use desist_host::Host;
//! use std::time::Duration;
//!
//! let host = Host::builder()
//!     .drain_delay(Duration::from_secs(8)) // in the place of a preStop hook that sleeps
//!     .shutdown_timeout(Duration::from_secs(30));
//! let health = host.health();
//! // With axum: Router::new().route_service("/livez", health.clone())
//! //                         .route_service("/readyz", health)
//! # let _ = health;
//! # }
//! ```
//!
//! Process 1 of a container has no default action for signals, and a shell there passes none
//! on: let the program itself be process 1 (`ENTRYPOINT ["/app"]`, or `exec /app`), and
//! leave `STOPSIGNAL` alone. The exit codes are in the pod's status.
//!
//! A health server that is a service of the host stops in its turn like others; one that shall
//! answer until the end comes [after nobody](crate::HostBuilder::after_nobody), with all others
//! [after](crate::HostBuilder::after) it.
//!
//! # systemd
//!
//! ```ini
//! [Service]
//! Type=notify
//! ExecStart=/usr/bin/app
//! TimeoutStartSec=70
//! TimeoutStopSec=40
//! Restart=on-failure
//! # Ends that were asked for twice, and no failures.
//! SuccessExitStatus=130 131 143
//! ```
//!
//! [`Host::main`](crate::Host::main) tells systemd, where `NOTIFY_SOCKET` is set:
//!
//! * `READY=1` when all services have started; so units that are ordered after this one wait
//!   for that;
//! * `STOPPING=1` when it was asked to stop, ahead of all that is said of its services then;
//! * `EXTEND_TIMEOUT_USEC=..` with each step of a start and of a stop: the time until the
//!   next step comes by itself, and 5 s. So a start or a stop that goes on is not cut at
//!   `TimeoutStartSec=` and `TimeoutStopSec=`, and one that is stuck ends by the host's own
//!   bounds;
//! * `STATUS=..` with what happens, as `systemctl status` shows it.
//!
//! `KillMode=mixed` lets the host end its own children. With the default every process of the
//! unit gets SIGTERM at the same time as the host.
//!
//! # What one service makes for others
//!
//! A pool, a folder, an address that is known when its service has started: who comes
//! [after](crate::HostBuilder::after) it finds it there.
//!
//! ```
//! use desist_host::{BoxError, Host, Service, Stop};
//! use std::sync::{Arc, OnceLock};
//!
//! /// As it might be a pool.
//! struct Pool(&'static str);
//!
//! struct Db {
//!     pool: Arc<OnceLock<Pool>>,
//! }
//!
//! impl Service for Db {
//!     async fn start(&mut self, _stop: &Stop) -> Result<(), BoxError> {
//!         self.pool.set(Pool("connected")).map_err(|_| "it is started once")?;
//!         Ok(())
//!     }
//!
//!     async fn run(&mut self, stop: Stop) -> Result<(), BoxError> {
//!         stop.token().await;
//!         Ok(())
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let pool = Arc::new(OnceLock::new());
//! let report = Host::builder()
//!     .add("db", Db { pool: Arc::clone(&pool) })
//!     .service("job", move |_stop| async move {
//!         let pool = pool.get().ok_or("it comes after `db`")?;
//!         assert_eq!(pool.0, "connected");
//!         Ok::<_, &str>(())
//!     })
//!     .after("db")
//!     .run()
//!     .await;
//! assert!(report.is_clean(), "{report}");
//! # }
//! ```
//!
//! # A test of a service
//!
//! ```
//! use desist_host::{Host, Phase};
//! use std::time::Duration;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! let host = Host::builder();
//! let handle = host.handle();
//! let host = host.service("poller", |stop| async move {
//!     while !stop.draining().is_cancelled() {
//!         desist_tokio::sleep(Duration::from_secs(60), &stop).await?;
//!     }
//!     Ok::<_, desist::Cancelled>(())
//! });
//! let stops = async {
//!     handle.reached(Phase::Running).await;
//!     tokio::time::sleep(Duration::from_secs(3600)).await; // at once: time is paused
//!     handle.stop();
//! };
//! let (report, ()) = tokio::join!(host.run(), stops);
//! assert!(report.is_clean(), "{report}");
//! # }
//! ```
