// Functions whose names need care: commas, quotes, templates, operators, overloads.
#include <map>
#include <string>

#include "target.h"

namespace sample {

PROBED long overloaded(int left, int right)
{
    return left + right;
}

PROBED long overloaded(long left, const char *right)
{
    return left + static_cast<long>(strlen(right));
}

template <typename Left, typename Right>
PROBED long both(std::map<Left, Right> &values)
{
    return static_cast<long>(values.size());
}

struct Sum {
    PROBED long operator()(int left, int right) const { return left + right; }
};

} // namespace sample

int main()
{
    ready();
    std::map<int, std::string> values{{1, "one"}};
    long sum = 0;
    for (int i = 0; i < 10; i++) {
        sum += sample::overloaded(i, 1) + sample::both(values) + sample::Sum()(i, i);
    }
    for (int i = 0; i < 20; i++) {
        sum += sample::overloaded(static_cast<long>(i), "text");
    }
    printf("sum %ld\n", sum);
    truth("integers", 10);
    truth("text", 20);
    truth("both", 10);
    truth("operator", 10);
    return 0;
}
