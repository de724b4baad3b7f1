//! Faulty specs: the exact place and key of every error, and what its message says.

use super::*;
