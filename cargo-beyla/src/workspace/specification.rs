//! Package specifications, as `-p` takes them.

use cargo_metadata::{Package, semver::Version};

/// Whether `package` is meant by `specification`: its name, `name@version` with as much of the
/// version as is given, or its id.
pub(super) fn matches(package: &Package, specification: &str) -> bool {
    if specification.contains("://") {
        return matches_id(&package.id.repr, specification);
    }
    match specification.split_once(['@', ':']) {
        Some((name, version)) => package.name.as_str() == name && matches_version(&package.version, version),
        None => package.name.as_str() == specification,
    }
}

/// Ids read `path+file:///folder#name@version`; the kind before `+` and all after `#` may be left out.
fn matches_id(id: &str, specification: &str) -> bool {
    let without_kind = id.split_once('+').map_or(id, |(_, rest)| rest);
    [id, without_kind]
        .into_iter()
        .any(|id| id.strip_prefix(specification).is_some_and(|rest| rest.is_empty() || rest.starts_with('#')))
}

fn matches_version(version: &Version, given: &str) -> bool {
    let version = version.to_string();
    version.strip_prefix(given).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-', '+']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_may_be_given_in_part() {
        let version = Version::new(1, 20, 3);
        for given in ["1", "1.20", "1.20.3"] {
            assert!(matches_version(&version, given), "{given}");
        }
        for given in ["2", "1.2", "1.20.30", "1.20.3.4"] {
            assert!(!matches_version(&version, given), "{given}");
        }
    }

    #[test]
    fn ids_may_be_given_in_part() {
        let id = "path+file:///home/u/shop#server@0.1.0";
        for given in [id, "file:///home/u/shop#server@0.1.0", "path+file:///home/u/shop", "file:///home/u/shop"] {
            assert!(matches_id(id, given), "{given}");
        }
        for given in ["file:///home/u/sho", "file:///home/u/shop#server@0.1", "https://shop"] {
            assert!(!matches_id(id, given), "{given}");
        }
    }
}
