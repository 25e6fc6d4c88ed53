//! Channels, locks and permits that heed a token.
//!
//! Every wait of tokio that is cancel safe obeys a token by
//! [`or_cancelled`](desist::FutureExt::or_cancelled). What is ready when the stop
//! comes is given and not thrown away; what was not taken stays where it is. (A task
//! that has used up its turn is told by tokio that nothing is ready; the stop comes
//! first then, and what was there stays, too.)
//!
//! # `mpsc`: receiving
//!
//! ```
//! use desist::{FutureExt, Source};
//! use tokio::sync::mpsc;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let (sender, mut receiver) = mpsc::channel(8);
//! let source = Source::new();
//! let token = source.token();
//! sender.send("first").await.unwrap();
//! assert_eq!(receiver.recv().or_cancelled(&token).await.unwrap(), Some("first"));
//!
//! sender.send("second").await.unwrap();
//! source.cancel();
//! assert!(receiver.recv().or_cancelled(&token).await.is_err());
//! // It was not taken, so it is still there.
//! assert_eq!(receiver.recv().await, Some("second"));
//! # }
//! ```
//!
//! # `mpsc`: sending
//!
//! A value inside a `send` that is given up goes with it. Reserve the place
//! first, and the value stays yours until there is one:
//!
//! ```
//! use desist::{FutureExt, Reason, Token};
//! use tokio::sync::mpsc;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let (sender, _receiver) = mpsc::channel(1);
//! let order = String::from("tea");
//! let token = Token::cancelled_with(Reason::Shutdown);
//! match sender.reserve().or_cancelled(&token).await {
//!     Ok(Ok(place)) => place.send(order),
//!     Ok(Err(_closed)) => unreachable!("it is open"),
//!     Err(_cancelled) => assert_eq!(order, "tea", "still ours"),
//! }
//! # }
//! ```
//!
//! # `oneshot`
//!
//! Wait for the receiver by reference, and the answer is not lost with the wait. A
//! `JoinHandle` is waited for in the same way:
//!
//! ```
//! use desist::{FutureExt, Reason, Token};
//! use tokio::sync::oneshot;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let (sender, mut receiver) = oneshot::channel();
//! let token = Token::cancelled_with(Reason::Shutdown);
//! assert!((&mut receiver).or_cancelled(&token).await.is_err());
//! sender.send(7).unwrap();
//! assert_eq!(receiver.await.unwrap(), 7);
//! # }
//! ```
//!
//! # `broadcast` and `watch`
//!
//! `recv` and `changed` take nothing before they are ready:
//!
//! ```
//! use desist::{FutureExt, Token};
//! use tokio::sync::{broadcast, watch};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let token = Token::never();
//! let (sender, mut receiver) = broadcast::channel(8);
//! sender.send("news").unwrap();
//! assert_eq!(receiver.recv().or_cancelled(&token).await.unwrap().unwrap(), "news");
//!
//! let (sender, mut receiver) = watch::channel(1);
//! sender.send(2).unwrap();
//! receiver.changed().or_cancelled(&token).await.unwrap().unwrap();
//! assert_eq!(*receiver.borrow_and_update(), 2);
//! # }
//! ```
//!
//! # Semaphores and locks
//!
//! A permit that was granted in the very moment of the stop is given; one that
//! was not is not held. Who gives up loses only the place in the queue.
//!
//! ```
//! use desist::{FutureExt, Source};
//! use tokio::sync::Semaphore;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let permits = Semaphore::new(1);
//! let source = Source::new();
//! let token = source.token();
//! let held = permits.acquire().or_cancelled(&token).await.unwrap().unwrap();
//! source.cancel();
//! assert!(permits.acquire().or_cancelled(&token).await.is_err());
//! drop(held);
//! assert_eq!(permits.available_permits(), 1);
//! # }
//! ```
