// Exceptions through 1, 10 and 100 frames: caught, rethrown, out of clean-ups, across a library, between threads.
#include <exception>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "target.h"

namespace library {
extern long cleanups;
long throw_from_library(long depth);
long call_back(long (*function)(long), long depth);
} // namespace library

namespace sample {

static long cleanups;
static unsigned long long calls_descend, returns_descend, calls_leaf;

struct Cleanup {
    PROBED ~Cleanup() { cleanups++; }
};

PROBED long leaf(long value)
{
    calls_leaf++;
    return value + 1;
}

PROBED long descend(long depth)
{
    Cleanup cleanup;
    calls_descend++;
    if (depth == 1) {
        throw std::runtime_error("bottom");
    }
    long below = descend(depth - 1);
    returns_descend++;
    return KEEP(below) + 1;
}

PROBED long caught(long depth)
{
    try {
        return descend(depth);
    } catch (const std::runtime_error &error) {
        return leaf(static_cast<long>(std::string(error.what()).size()));
    }
}

PROBED long rethrowing(long depth)
{
    Cleanup cleanup;
    try {
        return depth == 1 ? descend(1) : KEEP(rethrowing(depth - 1)) + 1;
    } catch (...) {
        leaf(depth);
        throw;
    }
}

struct ThrowsInside {
    PROBED ~ThrowsInside()
    {
        try {
            descend(3);
        } catch (const std::exception &) {
            cleanups += 1000;
        }
    }
};

struct ThrowsOut {
    PROBED ~ThrowsOut() noexcept(false) { descend(2); }
};

PROBED long with_cleanup_that_throws(long depth)
{
    ThrowsInside cleanup;
    return descend(depth) + leaf(1);
}

PROBED long destructor_throws()
{
    ThrowsOut cleanup;
    return leaf(1);
}

struct Half {
    std::unique_ptr<int> first{new int(1)};
    PROBED Half() { descend(2); }
};

PROBED long constructor_throws()
{
    std::unique_ptr<Half> half(new Half());
    return half ? 1 : 2;
}

PROBED long through_library(long depth)
{
    return library::call_back(descend, depth);
}

PROBED long between_threads(long depth)
{
    std::exception_ptr carried;
    std::thread other([&] {
        try {
            descend(depth);
        } catch (...) {
            carried = std::current_exception();
        }
    });
    other.join();
    std::rethrow_exception(carried);
}

PROBED long out_of_range(long index)
{
    std::vector<long> numbers{1, 2, 3};
    return numbers.at(static_cast<size_t>(index));
}

PROBED bool throws(const std::function<long()> &action)
{
    try {
        action();
        return false;
    } catch (const std::exception &) {
        return true;
    }
}

PROBED void all(long depth)
{
    printf("depth %ld: caught %ld", depth, caught(depth));
    printf(" rethrown %d", throws([=] { return rethrowing(depth); }));
    printf(" cleanup %d", throws([=] { return with_cleanup_that_throws(depth); }));
    printf(" destructor %d", throws([] { return destructor_throws(); }));
    printf(" constructor %d", throws([] { return constructor_throws(); }));
    printf(" library %d", throws([=] { return library::throw_from_library(depth); }));
    printf(" back %d", throws([=] { return through_library(depth); }));
    printf(" threads %d", throws([=] { return between_threads(depth); }));
    printf(" at %d\n", throws([=] { return out_of_range(depth + 2); }));
}

} // namespace sample

int main(int argc, char **)
{
    ready();
    sample::all(1);
    sample::all(10);
    sample::all(100);
    printf("cleanups %ld in the library %ld\n", sample::cleanups, library::cleanups);
    truth("sample::descend", sample::calls_descend);
    truth("sample::leaf", sample::calls_leaf);
    truth("returned", sample::returns_descend);
    fflush(stdout);
    if (argc > 1) {
        sample::descend(5); // not caught: std::terminate
    }
    return 11;
}
