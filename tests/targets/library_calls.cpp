// Calls many functions of the C library and of the C++ library, a few times each.
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <glob.h>
#include <grp.h>
#include <libgen.h>
#include <pthread.h>
#include <pwd.h>
#include <search.h>
#include <semaphore.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <wchar.h>
#include <wctype.h>

#include <algorithm>
#include <chrono>
#include <clocale>
#include <codecvt>
#include <condition_variable>
#include <deque>
#include <filesystem>
#include <forward_list>
#include <fstream>
#include <future>
#include <iomanip>
#include <iostream>
#include <list>
#include <locale>
#include <map>
#include <memory_resource>
#include <mutex>
#include <numeric>
#include <random>
#include <regex>
#include <set>
#include <shared_mutex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <unordered_map>
#include <valarray>
#include <variant>

#include "target.h"

static long checked;

static void strings()
{
    char buffer[512];
    for (int i = 0; i < 20; i++) {
        snprintf(buffer, sizeof buffer, "%d %s %5.3f %lx %c %p %e %g %a", i, "text", i * 1.5, 255L + i, 'x', nullptr, 1e10,
                 0.1, 0.5);
        checked += static_cast<long>(strlen(buffer));
        int number;
        double real;
        char word[32];
        checked += sscanf(buffer, "%d %31s %lf", &number, word, &real);
        checked += strtol("1234", nullptr, 0) + static_cast<long>(strtod("1.25", nullptr)) + atoi("12");
        checked += static_cast<long>(strtoul("ff", nullptr, 16) + strtoull("77", nullptr, 8));
        char *copy = strdup("a,b;c d"), *rest = nullptr;
        for (char *part = strtok_r(copy, ",; ", &rest); part; part = strtok_r(nullptr, ",; ", &rest)) {
            checked += static_cast<long>(strcspn(part, "x") + strspn(part, "abc"));
        }
        free(copy);
        checked += strcasecmp("ABC", "abc") + strncasecmp("ABCD", "abce", 3) + (strstr("haystack", "st") != nullptr);
        checked += strverscmp("a9", "a10") + strcoll("a", "b") + (strpbrk("hello", "lo") != nullptr);
        checked += (memmem("abcdef", 6, "cd", 2) != nullptr) + (strcasestr("Hello", "LL") != nullptr);
        swab("abcd", buffer, 4);
        memfrob(buffer, 4);
        checked += static_cast<long>(wcslen(L"wide")) + wcscmp(L"a", L"b") + wcstol(L"12", nullptr, 10);
        checked += towupper(L'a') + iswalpha(L'1') + toupper('a') + (isalpha('a') != 0);
        wchar_t wide[32];
        checked += static_cast<long>(mbstowcs(wide, "bytes", 32));
        checked += swprintf(wide, 32, L"%d %ls", i, L"w") + strfry(buffer)[0] * 0;
    }
}

static int by_value(const void *left, const void *right)
{
    return *static_cast<const int *>(left) - *static_cast<const int *>(right);
}

static void system_calls()
{
    int numbers[50];
    for (int i = 0; i < 50; i++) {
        numbers[i] = (i * 37) % 50;
    }
    qsort(numbers, 50, sizeof *numbers, by_value);
    int key = 7;
    checked += bsearch(&key, numbers, 50, sizeof *numbers, by_value) != nullptr;
    void *root = nullptr;
    for (int &number : numbers) {
        tsearch(&number, &root, by_value);
    }
    twalk(root, [](const void *, VISIT, int) { checked++; });
    srand(1), srandom(2), srand48(3);
    checked += (rand() & 1) + (random() & 1) + (lrand48() & 1) + (drand48() > 0.5);
    time_t now = 1700000000;
    struct tm parts;
    char text[128];
    gmtime_r(&now, &parts), localtime_r(&now, &parts);
    checked += static_cast<long>(strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S %A %B %j", &parts)) + mktime(&parts) % 7;
    strptime("2024-02-03", "%Y-%m-%d", &parts);
    struct stat status;
    struct utsname names;
    checked += stat("/", &status) + lstat("/proc", &status) + access("/", R_OK) + uname(&names);
    if (DIR *folder = opendir("/")) {
        while (readdir(folder)) {
            checked++;
        }
        rewinddir(folder);
        closedir(folder);
    }
    glob_t found;
    checked += glob("/e*", 0, nullptr, &found) + fnmatch("*.c", "a.c", 0);
    globfree(&found);
    checked += (getpwuid(0) != nullptr) + (getgrgid(0) != nullptr) + (getenv("PATH") != nullptr);
    setenv("SAMPLE", "1", 1), unsetenv("SAMPLE");
    char path[] = "/a/b/c.txt";
    checked += static_cast<long>(strlen(basename(path)) + strlen(dirname(path)));
    checked += static_cast<long>(inet_addr("127.0.0.1") & 1) + inet_pton(AF_INET, "1.2.3.4", text);
    if (FILE *file = tmpfile()) {
        fprintf(file, "%s %d\n", "line", 1), fputs("more\n", file), fputc('x', file), fwrite("abc", 1, 3, file);
        rewind(file), fgets(text, sizeof text, file), ungetc('u', file), fgetc(file), fseek(file, 0, SEEK_END);
        checked += ftell(file) + fflush(file) + feof(file) + fileno(file) * 0;
        fclose(file);
    }
    for (size_t size = 1; size < 200000; size = size * 2 + 3) {
        void *block = calloc(1, size);
        block = realloc(block, size * 2);
        free(block);
        checked += posix_memalign(&block, 64, size);
        free(block);
    }
    setlocale(LC_ALL, "C.UTF-8");
    checked += (localeconv() != nullptr) + (strerror(2) != nullptr) + (strsignal(9) != nullptr);
}

static void streams()
{
    const time_t epoch = 0;
    for (int i = 0; i < 20; i++) {
        std::ostringstream out;
        out << i << ' ' << 1.5 * i << std::hex << std::setw(8) << std::setfill('0') << i << std::boolalpha << true
            << std::fixed << std::setprecision(3) << 2.0L << static_cast<void *>(nullptr) << std::put_time(std::gmtime(&epoch), "%Y")
            << std::endl;
        std::istringstream in("12 4.5 word true 0x1f");
        int number;
        double real;
        std::string word;
        in >> number >> real >> word >> std::ws;
        std::getline(in, word);
        checked += number + static_cast<long>(out.str().size() + word.size());
        std::wostringstream wide;
        wide << i << L' ' << 2.5 << L"wide";
        checked += static_cast<long>(wide.str().size());
    }
    std::locale classic = std::locale::classic();
    checked += std::use_facet<std::ctype<char>>(classic).toupper('a') + std::isalpha('a', classic);
    std::ofstream("/dev/null") << "text" << 12 << std::flush;
    std::ifstream zero("/dev/zero");
    checked += zero.get() + zero.peek();
    checked += std::filesystem::exists("/") + std::filesystem::path("/a/b.c").extension().string().size()
        + std::filesystem::temp_directory_path().string().size() * 0;
    for (const auto &entry : std::filesystem::directory_iterator("/")) {
        checked += static_cast<long>(entry.path().filename().string().size()) * 0 + entry.is_directory();
    }
}

static void containers()
{
    std::map<std::string, int> ordered;
    std::unordered_map<std::string, int> hashed;
    std::set<int> set;
    std::list<int> list;
    std::deque<int> deque;
    for (int i = 0; i < 200; i++) {
        std::string key = std::to_string(i * 7919 % 1000);
        ordered[key] += i, hashed[key] += i, set.insert(i * 31 % 97), list.push_back(i), deque.push_front(i);
        key.append("suffix").insert(0, "prefix").replace(1, 2, "xx").erase(0, 1).resize(40);
        checked += static_cast<long>(key.find("suf") + key.rfind('x') + key.find_first_of("abc") + key.substr(2).size());
        checked += key.compare("other") > 0;
    }
    list.sort(), list.reverse();
    ordered.erase(ordered.begin()), hashed.erase(hashed.begin());
    std::regex pattern("([a-z]+)([0-9]+)");
    std::smatch match;
    std::string subject = "abc123 def456";
    checked += std::regex_search(subject, match, pattern) + std::stoi("12") + std::stol("13") + (std::stod("1.5") > 1);
    std::mt19937 twister(1);
    checked += static_cast<long>(std::uniform_int_distribution<int>(0, 9)(twister)) * 0 + std::random_device{}() * 0;
    std::pmr::monotonic_buffer_resource arena;
    std::pmr::vector<int> pooled(&arena);
    for (int i = 0; i < 100; i++) {
        pooled.push_back(i);
    }
}

static void threads_and_errors()
{
    std::mutex mutex;
    std::shared_mutex shared;
    std::condition_variable condition;
    bool done = false;
    std::thread thread([&] {
        std::unique_lock lock(mutex);
        done = true;
        condition.notify_all();
    });
    {
        std::unique_lock lock(mutex);
        condition.wait(lock, [&] { return done; });
    }
    thread.join();
    std::shared_lock reading(shared);
    std::once_flag once;
    std::call_once(once, [] { checked++; });
    checked += std::async(std::launch::async, [] { return 5; }).get();
    for (int i = 0; i < 20; i++) {
        try {
            i % 2 ? throw std::out_of_range("index") : throw std::system_error(i, std::generic_category(), "what");
        } catch (const std::exception &error) {
            checked += static_cast<long>(strlen(error.what()));
        }
        try {
            checked += std::string("short").at(static_cast<size_t>(10 + i));
        } catch (const std::out_of_range &) {
            checked++;
        }
    }
    std::this_thread::sleep_for(std::chrono::microseconds(10));
    std::shared_ptr<int> pointer = std::make_shared<int>(3);
    std::weak_ptr<int> weak = pointer;
    checked += *weak.lock();
}

int main()
{
    ready();
    for (int i = 0; i < 5; i++) {
        strings(), system_calls(), streams(), containers(), threads_and_errors();
    }
    std::cout << "checked " << (checked != 0) << std::endl;
    printf("done\n");
    return 0;
}
