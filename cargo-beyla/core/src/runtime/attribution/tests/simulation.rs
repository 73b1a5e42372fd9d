//! Many requests at the same time, which call others in all usual ways: what is said of a call is right, or nothing.

use proptest::prelude::*;

use super::*;

/// How a call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Way {
    /// By the task of the request, on a connection of a pool.
    Own,
    /// By a task that it spawns, on a connection of a pool.
    Spawned,
    /// By the driver of a connection that all share.
    Driven,
    /// By a task that has to do with no request, on a connection of the pool.
    Background,
}

struct Serving {
    request: u64,
    /// The task that read it, and the one that works on it.
    reader: u64,
    worker: u64,
}

struct Calling {
    way: Way,
    truth: Option<u64>,
    connection: usize,
    start: CallStart,
}

struct Connection {
    of: CallConnection,
    /// The task that drives it.
    driver: Option<u64>,
    /// How many calls are under way on it.
    busy: usize,
}

struct Simulation {
    run: Run,
    random: fastrand::Rng,
    open: Vec<Serving>,
    calls: Vec<Calling>,
    connections: Vec<Connection>,
    requests: u64,
    tasks: u64,
    /// Whether requests are given up while their calls run.
    gives_up: bool,
    /// How it was made, the truth, and what is said of it.
    found: Vec<(Way, Option<u64>, Option<CallOf>)>,
}

/// The task of background jobs.
const BACKGROUND: u64 = 4;

impl Simulation {
    fn new(seed: u64, gives_up: bool) -> Self {
        let mut simulation = Self {
            run: Run::default(),
            random: fastrand::Rng::with_seed(seed),
            open: Vec::new(),
            calls: Vec::new(),
            connections: Vec::new(),
            requests: 0,
            tasks: 10,
            gives_up,
            found: Vec::new(),
        };
        // A job has run before the first request.
        simulation.begin(Way::Background, None, BACKGROUND);
        simulation.end(0);
        simulation
    }

    fn new_task(&mut self) -> u64 {
        self.tasks += 1;
        self.tasks
    }

    fn open_one(&mut self) {
        self.requests += 1;
        let (request, reader) = (self.requests, self.new_task());
        self.run.reads(task(reader), request);
        self.open.push(Serving { request, reader, worker: reader });
    }

    /// A connection of HTTP/2 brings several requests at once.
    fn open_streams(&mut self) {
        let reader = self.new_task();
        let count = self.random.u64(1..=3);
        let requests = self.requests + 1..=self.requests + count;
        self.requests += count;
        for request in requests.clone() {
            self.run.reads_stream(task(reader), request);
        }
        for request in requests {
            let worker = self.new_task();
            self.run.spawns(reader, worker);
            self.open.push(Serving { request, reader, worker });
        }
    }

    fn call(&mut self) {
        if self.open.is_empty() || self.random.u8(..) < 20 {
            return self.begin(Way::Background, None, BACKGROUND);
        }
        let at = self.random.usize(..self.open.len());
        let Serving { request, worker, .. } = self.open[at];
        match self.random.u8(..3) {
            0 => self.begin(Way::Own, Some(request), worker),
            1 => {
                let child = self.new_task();
                self.run.spawns(worker, child);
                self.begin(Way::Spawned, Some(request), child);
            }
            _ => self.begin_driven(request, worker),
        }
    }

    fn begin(&mut self, way: Way, truth: Option<u64>, maker: u64) {
        let idle = self.connections.iter().position(|connection| connection.driver.is_none() && connection.busy == 0);
        let connection = idle.unwrap_or_else(|| {
            let of = self.run.opens(task(maker));
            self.connections.push(Connection { of, driver: None, busy: 0 });
            self.connections.len() - 1
        });
        self.begin_on(way, truth, maker, connection, "SELECT");
    }

    fn begin_driven(&mut self, request: u64, worker: u64) {
        let shared: Vec<usize> =
            (0..self.connections.len()).filter(|&at| self.connections[at].driver.is_some()).collect();
        let known = shared.get(self.random.usize(..4)).copied();
        let connection = known.unwrap_or_else(|| {
            let of = self.run.opens(task(worker));
            let driver = self.new_task();
            self.run.spawns(worker, driver);
            self.connections.push(Connection { of, driver: Some(driver), busy: 0 });
            self.connections.len() - 1
        });
        if let Some(driver) = self.connections[connection].driver {
            self.begin_on(Way::Driven, Some(request), driver, connection, "GET");
        }
    }

    fn begin_on(&mut self, way: Way, truth: Option<u64>, maker: u64, connection: usize, summary: &str) {
        let at = self.run.tick();
        let place = &mut self.connections[connection];
        place.busy += 1;
        let new = NewCall { maker: task(maker), summary: &summary.into(), start_ns: at, begun_ns: at };
        let start = self.run.attribution.begins(&mut place.of, &new);
        self.calls.push(Calling { way, truth, connection, start });
    }

    fn end(&mut self, at: usize) {
        let Calling { way, truth, connection, start } = self.calls.swap_remove(at);
        let place = &mut self.connections[connection];
        place.busy -= 1;
        let found = self.run.ends(&place.of, &start);
        self.found.push((way, truth, found));
    }

    /// A request is answered once it has all answers, or given up before.
    fn answer(&mut self, given_up: bool) {
        let Some(at) = (!self.open.is_empty()).then(|| self.random.usize(..self.open.len())) else { return };
        let request = self.open[at].request;
        if given_up || self.calls.iter().all(|call| call.truth != Some(request)) {
            let Serving { reader, .. } = self.open.swap_remove(at);
            self.run.answers(task(reader), request);
        }
    }

    fn step(&mut self, concurrency: usize) {
        match self.random.u8(..100) {
            0..15 if self.open.len() < concurrency => self.open_one(),
            15..20 if self.open.len() + 3 <= concurrency => self.open_streams(),
            20..55 => self.call(),
            55..85 if !self.calls.is_empty() => {
                let at = self.random.usize(..self.calls.len());
                self.end(at);
            }
            85..98 => self.answer(false),
            98 => self.answer(self.gives_up),
            _ => {}
        }
    }
}

proptest! {
    #[test]
    fn what_is_certain_is_right(seed: u64, concurrency in 1_usize..20) {
        let mut simulation = Simulation::new(seed, true);
        for _ in 0..2000 {
            simulation.step(concurrency);
        }
        for (way, truth, found) in simulation.found {
            match way {
                Way::Own | Way::Spawned => prop_assert_eq!(found, truth.and_then(certain), "{:?}", way),
                // It may be given up.
                Way::Driven => {
                    prop_assert!(found.is_none_or(|of| Some(of.request) == truth), "{found:?} {truth:?}");
                }
                Way::Background => {
                    prop_assert!(found.is_none_or(|of| of.certainty == Certainty::Likely), "{found:?}");
                }
            }
        }
    }
}

#[test]
fn at_one_request_at_a_time_all_calls_of_requests_are_certain() {
    let mut simulation = Simulation::new(7, false);
    for _ in 0..20_000 {
        simulation.step(1);
    }
    let driven = simulation.found.iter().filter(|(way, ..)| *way == Way::Driven).count();
    assert!(driven > 1000, "{driven}");
    for (way, truth, found) in simulation.found.into_iter().filter(|(way, ..)| *way != Way::Background) {
        assert_eq!(found, truth.and_then(certain), "{way:?}");
    }
}
